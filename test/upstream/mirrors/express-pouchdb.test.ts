import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Started, startExpressPouchDB } from '../../../scripts/benchmark/servers.js';
import { startUsers, type Users } from '../../auth/users/gateway.js';
import { type FaultyProxy, startFaultyProxy } from '../../support/faulty-proxy.js';
import { until } from '../../system/support/wait.js';
import { linkOf } from '../pair.js';
import { contentOf } from './pair.js';

let server: Started;
let proxy: FaultyProxy;
let front: Users;
/** What express-pouchdb is asked by itself. */
let there: Pick<Users, 'ask'>;

beforeAll(async () => {
  server = await startExpressPouchDB();
  const { origin } = new URL(server.target.url);
  proxy = await startFaultyProxy(Number(new URL(origin).port));
  there = {
    async ask(method, path, { json } = {}) {
      const headers = { 'content-type': 'application/json' };
      const body = json === undefined ? null : JSON.stringify(json);
      const answer = await fetch(origin + path, { method, headers, body });
      return { status: answer.status, headers: {}, body: await answer.json() };
    },
  };
  const url = `http://127.0.0.1:${proxy.port}/`;
  const upstream = { url, firstRetry: 50, longestRetry: 300, pollInterval: 500 };
  front = await startUsers({ upstream, store: { minFree: 0 } });
  await until('the upstream to be seen', async () => (await linkOf(front)).state === 'online');
  // npm installs it at the first time.
}, 300_000);
afterAll(async () => {
  await front.stop();
  await proxy.close();
  await server.stop();
});

const stateOf = async (): Promise<Record<string, unknown>> =>
  (await front.ask('GET', '/_gateway/databases/express')).body as Record<string, unknown>;

const inBoth = (ids: readonly string[]): Promise<unknown> =>
  until('both to have the same', async () => {
    const [here, upstream] = [await contentOf(front, 'express'), await contentOf(there, 'express')];
    return ids.every((id) => id in here) && isDeepStrictEqual(here, upstream);
  });

const file = (text: string): unknown => ({
  text: { data: Buffer.from(text).toString('base64'), content_type: 'text/plain' },
});

const conflicting = (id: string): unknown => ({
  new_edits: false,
  docs: ['a', 'b'].map((digit) => ({
    _id: id,
    _rev: `2-${digit.repeat(32)}`,
    _revisions: { start: 2, ids: [digit.repeat(32), 'c'.repeat(32)] },
  })),
});

test('documents, deletions, conflicts and attachments flow both ways, offline too', async () => {
  const ask = { here: front, there } as const;
  await there.ask('PUT', '/express');
  const write = async (side: keyof typeof ask, part: string): Promise<void> => {
    const { ask: send } = ask[side];
    await send('PUT', `/express/plain-${part}`, { json: { part } });
    await send('PUT', `/express/file-${part}`, { json: { _attachments: file(part) } });
    await send('POST', '/express/_bulk_docs', { json: conflicting(`both-${part}`) });
    const { body } = await send('PUT', `/express/gone-${part}`, { json: {} });
    const { rev } = body as { rev: string };
    await send('DELETE', `/express/gone-${part}?rev=${rev}`);
  };
  const expectPart = async (part: string): Promise<void> => {
    await inBoth([`plain-${part}`, `file-${part}`, `both-${part}`]);
    for (const { ask: send } of [front, there]) {
      const { body } = await send('GET', `/express/both-${part}?conflicts=true`);
      expect(body).toMatchObject({ _conflicts: [`2-${'a'.repeat(32)}`] });
      expect((await send('GET', `/express/gone-${part}`)).status).toBe(404);
      expect((await send('GET', `/express/file-${part}?attachments=true`)).body).toMatchObject({
        _attachments: file(part),
      });
    }
  };
  await write('there', 'first');
  await front.ask('GET', '/express');
  await until('it to be warm', async () => (await stateOf()).state === 'warm');
  await expectPart('first');
  await write('here', 'second');
  await write('there', 'third');
  for (const part of ['second', 'third']) await expectPart(part);

  proxy.faults = () => ({ kind: 'cut', after: 0 });
  proxy.cutAll();
  await until('the loss', async () => (await linkOf(front)).state === 'offline');
  await write('here', 'fourth');
  await write('there', 'fifth');
  proxy.faults = () => undefined;
  for (const part of ['fourth', 'fifth']) await expectPart(part);
  await until('nothing to wait', async () => (await stateOf()).ahead === 0);
  expect(await stateOf()).toMatchObject({ state: 'warm', rejections: 0 });
});

test('a database that is gone there is told, and kept here', async () => {
  await there.ask('DELETE', '/express');
  await until('the state', async () => (await stateOf()).state === 'upstream-missing');
  expect((await front.ask('GET', '/express/plain-first')).status).toBe(200);
});
