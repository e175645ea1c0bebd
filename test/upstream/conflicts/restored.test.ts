import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { kindOf } from '../../../src/conflicts/revisions.js';
import { startUsers, type Users } from '../../auth/users/gateway.js';
import { until } from '../../system/support/wait.js';
import { isHere, mirroring } from '../mirrors/pair.js';

const NAME = 'notes';
const MERGED_LATER = 'merged after the copy';
const EDITED_LATER = 'merged and edited after the copy';
const CLASHED_LATER = 'in conflict after the copy';
const IDS = [MERGED_LATER, EDITED_LATER, CLASHED_LATER];

const merging = (merge: unknown): Parameters<typeof mirroring>[1] =>
  ({ databases: [{ match: '*', mode: 'mirror', merge }] }) as Parameters<typeof mirroring>[1];
const KEEP = merging('keep');
const COUNTERS = merging({ function: 'three-way', fields: { '/n': 'counter' } });

interface Leaf {
  readonly _rev: string;
  readonly _deleted?: true;
  readonly n?: number;
  readonly _revisions: { readonly start: number; readonly ids: readonly string[] };
}

const at = (id: string): string => `/${NAME}/${encodeURIComponent(id)}`;

/** All leaves of a document with their ancestors, ordered by their revisions. */
async function leaves(server: Users, id: string): Promise<readonly Leaf[]> {
  const { status, body } = await server.ask('GET', `${at(id)}?open_revs=all&revs=true`);
  const found = status === 200 ? (body as { ok: Leaf }[]) : [];
  return found.map(({ ok }) => ok).sort((a, b) => (a._rev < b._rev ? -1 : 1));
}

const counts = async (server: Users, id: string): Promise<readonly unknown[]> =>
  (await leaves(server, id)).flatMap(({ _deleted, n }) => (_deleted ? [] : [n])).sort();

/** Merged revisions that leaves are or come from. */
function merges(all: readonly Leaf[]): ReadonlySet<string> {
  const revs = all.flatMap(({ _revisions: { start, ids } }) =>
    ids.map((hash, back) => `${start - back}-${hash}`),
  );
  return new Set(revs.filter((rev) => kindOf(rev.slice(rev.indexOf('-') + 1)) === 'merged'));
}

/** A client writes revisions `1-o`, `2-a` and `2-b`. */
async function clash(server: Users, id: string): Promise<void> {
  const docs = [
    { _id: id, _rev: '1-o', n: 0 },
    { _id: id, _revisions: { start: 2, ids: ['a', 'o'] }, n: 1 },
    { _id: id, _revisions: { start: 2, ids: ['b', 'o'] }, n: 2 },
  ];
  const { body } = await server.ask('POST', `/${NAME}/_bulk_docs`, { json: { docs, new_edits: false } });
  expect(body).toEqual([]);
}

const edit = async (server: Users, id: string, json: object): Promise<void> => {
  expect((await server.ask('PUT', at(id), { json })).status).toBe(201);
};

async function updateSeq(server: Users): Promise<string> {
  const { body } = await server.ask('GET', `/${NAME}`);
  return (body as { update_seq: string }).update_seq;
}

async function changedSince(server: Users, since: string): Promise<readonly string[]> {
  const { body } = await server.ask('GET', `/${NAME}/_changes?since=${encodeURIComponent(since)}`);
  return (body as { results: { id: string }[] }).results.map(({ id }) => id).sort();
}

/** Waits until documents are in no conflict on either side, which have the same leaves. */
const settled = (front: Users, back: Users, ids: readonly string[]): Promise<unknown> =>
  until('both to have the same', async () => {
    for (const id of ids) {
      const [here, there] = [await leaves(front, id), await leaves(back, id)];
      if (!isDeepStrictEqual(here, there)) return false;
      if (here.filter(({ _deleted }) => _deleted !== true).length !== 1) return false;
    }
    return true;
  });

test('a gateway that is put back to an older copy ends with what the upstream has, merged once', async () => {
  const root = await mkdtemp(path.join(tmpdir(), 'causeway-test-'));
  const [data, copy] = [path.join(root, 'data'), path.join(root, 'copy')];
  const back = await startUsers();
  const start = (values: typeof KEEP): Promise<Users> =>
    startUsers(mirroring(back.gateway.url, values), data);
  let front = await start(KEEP);
  onTestFinished(async () => {
    await front.stop();
    await back.stop();
    await rm(root, { recursive: true, force: true });
  });
  await back.ask('PUT', `/${NAME}`);
  for (const id of [MERGED_LATER, EDITED_LATER]) await clash(back, id);
  await front.ask('GET', `/${NAME}`);
  await isHere({ front, back }, NAME);
  expect(await counts(front, MERGED_LATER)).toEqual([1, 2]);
  await front.stop();
  await cp(data, copy, { recursive: true });

  front = await start(COUNTERS);
  await clash(front, CLASHED_LATER);
  await settled(front, back, IDS);
  const [merged] = (await leaves(front, EDITED_LATER)).filter(({ _deleted }) => _deleted !== true);
  await edit(front, EDITED_LATER, { _rev: merged?._rev, n: 13 });
  await settled(front, back, IDS);
  const before = await Promise.all(IDS.map((id) => leaves(back, id)));
  const seq = await updateSeq(back);
  await front.stop();

  await rm(data, { recursive: true });
  await cp(copy, data, { recursive: true });
  // The server is not to take it for the directory that it was.
  await rm(path.join(data, 'copies'), { recursive: true });
  front = await start(COUNTERS);
  await until('the mirror', async () => (await front.ask('GET', `/${NAME}`)).status === 200);
  await settled(front, back, IDS);
  expect(await Promise.all(IDS.map((id) => leaves(front, id)))).toEqual(before);
  for (const all of before) expect(merges(all).size).toBe(1);
  expect(await Promise.all(IDS.map((id) => counts(front, id)))).toEqual([[3], [13], [3]]);

  // Whatever is still to come comes before what is written now.
  const here = await updateSeq(front);
  await edit(front, 'up', {});
  await edit(back, 'down', {});
  await until('both ways', async () =>
    (await Promise.all([front.ask('GET', at('down')), back.ask('GET', at('up'))])).every(
      ({ status }) => status === 200,
    ),
  );
  expect(await changedSince(front, here)).toEqual(['down', 'up']);
  expect(await changedSince(back, seq)).toEqual(['down', 'up']);
});
