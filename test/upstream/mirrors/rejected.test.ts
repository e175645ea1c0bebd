import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Rejections } from '../../../src/rejections/rejections.js';
import { newAgent } from '../../../src/replication/http/agent.js';
import { HttpClient } from '../../../src/replication/http/client.js';
import { HttpPeer } from '../../../src/replication/http/peer.js';
import { startReplication } from '../../../src/replication/run.js';
import { MirrorRejections, type Pushed, type PushSpec } from '../../../src/upstream/mirrors/rejected.js';
import { startUsers, type Users } from '../../auth/users/gateway.js';

const agent = newAgent();
const authorization = `Basic ${Buffer.from('gate:way').toString('base64')}`;
/** Refuses what is bad, in the words of the document, but for those who may. */
const JUDGE = {
  validate_doc_update:
    "function (doc, old, user) { if (doc.bad && user.roles.indexOf('trusted') < 0) throw { forbidden: doc.bad }; }",
};

let server: Users;
let folder: string;
let lists: Rejections;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'causeway-test-'));
  server = await startUsers();
});
afterAll(async () => {
  await lists.close();
  await server.stop();
  await agent.close();
  await rm(folder, { recursive: true, force: true });
});

let count = 0;
let here: string;
let there: string;
let rejected: MirrorRejections;
const mirror = (): Pushed => ({ name: there, push: { id: `push-${there}` } });
const config = { replication: { maxRejections: 1000 } };

beforeEach(async () => {
  count++;
  [here, there] = [`rejected-here${count}`, `rejected-there${count}`];
  for (const name of [here, there]) {
    await server.ask('PUT', `/${name}`);
    await server.ask('PUT', `/${name}/_security`, { json: { members: { names: ['gate'] } } });
  }
  await server.put('gate', { password: 'way' });
  await server.ask('PUT', `/${there}/_design/judge`, { json: JUDGE });
  await restart();
});

/** What is on the disk is all that is known then. */
async function restart(maxRejections = 1000): Promise<void> {
  await (lists as Rejections | undefined)?.close();
  lists = new Rejections(path.join(folder, 'rejections'), Infinity);
  const client = new HttpClient({
    url: `${server.gateway.url}/`,
    headers: { authorization },
    dispatcher: agent,
  });
  rejected = new MirrorRejections({
    rejections: lists,
    ask: (request) => client.json(request),
    config: { replication: { ...config.replication, maxRejections } } as never,
    log: { warn: () => undefined },
  });
}

const peer = (name: string): HttpPeer =>
  new HttpPeer({ url: `${server.gateway.url}/${name}/`, headers: { authorization }, dispatcher: agent });
const spec = (): PushSpec => ({
  source: peer(here),
  target: peer(there),
  tuning: { workers: 1, batchSize: 1000, retries: 0, firstRetry: 1 },
});

/** Reviews what was refused and pushes what is new, as a run of a mirror does. */
const push = (signal = new AbortController().signal): Promise<unknown> =>
  rejected.during(mirror(), async (account) => {
    await account.review(spec(), signal);
    const { listener } = account;
    return startReplication({ id: mirror().push.id, ...spec(), options: {}, listener }).done;
  });

const put = async (id: string, json: object, database = here): Promise<string> => {
  const { status, body } = await server.ask('PUT', `/${database}/${id}`, { json });
  expect(status, JSON.stringify(body)).toBe(201);
  return (body as { rev: string }).rev;
};
const fill = (ids: readonly string[], members: object): Promise<unknown> =>
  server.ask('POST', `/${here}/_bulk_docs`, { json: { docs: ids.map((_id) => ({ _id, ...members })) } });
const named = (prefix: string, length: number): string[] =>
  Array.from({ length }, (_, at) => `${prefix}${String(at).padStart(3, '0')}`);
const listed = async (): Promise<string[]> =>
  (await rejected.read(mirror())).map(({ id, attempts }) => `${id} ${attempts}`);
const idsThere = async (): Promise<string[]> => {
  const { body } = await server.ask('GET', `/${there}/_all_docs`);
  return (body as { rows: { id: string }[] }).rows.map(({ id }) => id).filter((id) => !id.startsWith('_'));
};

describe('what the upstream refuses of a mirror (I6)', () => {
  it('is on the disk before a checkpoint passes it, and does not stop what is behind it', async () => {
    await put('a', { bad: 'no' });
    await put('b', { good: true });
    await push();
    await restart();
    expect([await listed(), await idsThere()]).toEqual([['a 1'], ['b']]);
    await push();
    expect(await listed()).toEqual(['a 2']);
    await push();
    expect(await listed()).toEqual(['a 2']);
  });

  it('leaves the list with its next revision', async () => {
    const rev = await put('a', { bad: 'no' });
    await push();
    await put('a', { _rev: rev, good: true });
    await push();
    expect([await listed(), await idsThere()]).toEqual([[], ['a']]);
  });

  it('is tried again when the design documents there change, the security object or the account, and only then', async () => {
    await fill(['a', 'b'], { bad: 'no' });
    await push();
    await push();
    expect(await listed()).toEqual(['a 2', 'b 2']);
    await server.ask('PUT', `/${there}/_security`, { json: { members: { names: ['gate', 'x'] } } });
    await push();
    await put('_design/other', {}, there);
    await push();
    await push();
    expect(await listed()).toEqual(['a 4', 'b 4']);
    await server.put('gate', { password: 'way', roles: ['trusted'] });
    await push();
    expect([await listed(), await idsThere()]).toEqual([[], ['a', 'b']]);
  });

  it('is tried again when asked, or dropped', async () => {
    await fill(['a', 'b'], { bad: 'no' });
    await push();
    const { signal } = new AbortController();
    expect(await rejected.retry(mirror(), 'a', spec(), signal)).toMatchObject([{ id: 'a', attempts: 2 }]);
    await server.put('gate', { password: 'way', roles: ['trusted'] });
    expect(await rejected.retry(mirror(), 'a', spec(), signal)).toEqual([]);
    await expect(rejected.retry(mirror(), 'a', spec(), signal)).rejects.toMatchObject({ status: 404 });
    expect([await rejected.drop(mirror(), 'b'), await rejected.drop(mirror(), 'b')]).toEqual([true, false]);
    expect([await listed(), await idsThere()]).toEqual([[], ['a']]);
  });

  it('pauses the push after twenty in a row for one reason, goes on with the next run, and is tried again once one is written', async () => {
    await fill(named('bad', 23), { bad: 'never' });
    await expect(push()).rejects.toMatchObject({
      status: 403,
      reason: expect.stringMatching(/20 documents in a row: forbidden: never/) as string,
    });
    expect(await rejected.count(mirror())).toBe(20);
    // With each run there is one more.
    for (const more of [21, 22, 23]) {
      await expect(push()).rejects.toMatchObject({ status: 403 });
      expect(await rejected.count(mirror())).toBe(more);
    }
    await push();
    const before = await listed();
    await fill(['good'], { good: true });
    await push();
    expect([await listed(), await idsThere()]).toEqual([before, ['good']]);
    await push();
    expect(await listed()).not.toEqual(before);
    const after = await listed();
    await push();
    expect(await listed()).toEqual(after);
  });

  it('does not pause it for different reasons', async () => {
    const docs = named('bad', 25).map((_id) => ({ _id, bad: `no ${_id}` }));
    await server.ask('POST', `/${here}/_bulk_docs`, { json: { docs } });
    await push();
    expect(await rejected.count(mirror())).toBe(25);
  });

  it('is not passed where its list is full', async () => {
    await restart(2);
    for (const id of ['a', 'b', 'c']) await put(id, { bad: `no ${id}` });
    await put('d', { good: true });
    await expect(push()).rejects.toMatchObject({ status: 507, error: 'too_many_rejections' });
    expect(await rejected.count(mirror())).toBe(2);
    await restart();
    await push();
    expect([await rejected.count(mirror()), await idsThere()]).toEqual([3, ['d']]);
  });
});
