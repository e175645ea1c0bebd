import { afterAll, beforeAll, expect, test } from 'vitest';
import { isTombstone } from '../../../src/conflicts/revisions.js';
import { Restartable } from '../../system/support/restartable.js';
import { until } from '../../system/support/wait.js';
import { startUsers, type Users } from '../../auth/users/gateway.js';
import { type Recorder, startRecorder } from './recorder.js';

const DOCUMENTS = Array.from({ length: 20 }, (_, at) => `d${at}`);

let back: Users;
let recorder: Recorder;
let front: Restartable;
beforeAll(async () => {
  back = await startUsers();
  recorder = await startRecorder(back.gateway.url);
  front = await Restartable.start({
    args: ['--upstream', recorder.url, '--upstream-username', 'admin', '--upstream-first-retry', '50'],
    env: {
      CAUSEWAY_UPSTREAM_PASSWORD: 'secret',
      CAUSEWAY_DATABASES: JSON.stringify([
        { match: '*', mode: 'mirror', merge: { function: 'last-write-wins', field: '/at' } },
      ]),
    },
  });
});
afterAll(async () => {
  await front.remove();
  recorder.close();
  await back.stop();
});

/** How many living leaves each document has upstream. */
async function leaves(): Promise<readonly number[]> {
  const { body } = await back.ask('GET', '/notes/_all_docs?include_docs=true&conflicts=true');
  const { rows = [] } = body as { rows?: { doc: { _conflicts?: readonly string[] } }[] };
  return rows.map(({ doc }) => 1 + (doc._conflicts?.length ?? 0));
}

test('a gateway that is killed between a merge and its tombstones goes on with those', async () => {
  await back.ask('PUT', '/notes');
  const docs = DOCUMENTS.flatMap((_id) => ['a', 'b'].map((hash, at) => ({ _id, _rev: `1-${hash}`, at })));
  await back.ask('POST', '/notes/_bulk_docs', { json: { docs, new_edits: false } });
  recorder.holds = ({ revs }) => revs.some((text) => isTombstone(text.slice(text.indexOf(' ') + 1)));
  await until('the mirror', async () => {
    const { warm } = (await front.couch.get('/_gateway/databases/notes').catch(() => ({}))) as {
      warm?: boolean;
    };
    if (warm !== true) await front.couch.get('/notes');
    return warm === true;
  });
  await until('tombstones on their way', () => recorder.waiting > 0);
  await front.kill();
  expect(await leaves()).toEqual(DOCUMENTS.map(() => 2));
  const brought = recorder.brought.flatMap(({ revs }) => revs);
  expect(brought.some((text) => text.includes(' 2-c0a1e5'))).toBe(true);
  recorder.holds = () => false;
  await front.start();
  await until('everything to be merged', async () => (await leaves()).every((count) => count === 1));
  const { body } = await back.ask('GET', '/notes/_all_docs');
  const { rows } = body as { rows: { value: { rev: string } }[] };
  expect(rows.map(({ value }) => value.rev.slice(0, 8))).toEqual(DOCUMENTS.map(() => '2-c0a1e5'));
});
