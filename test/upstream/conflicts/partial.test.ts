import { afterAll, beforeAll, expect, test } from 'vitest';
import { until } from '../../system/support/wait.js';
import type { Users } from '../../auth/users/gateway.js';
import { contentOf, isHere, type Mirrored, startMirrored } from '../mirrors/pair.js';

const COUNTERS = { function: 'three-way', fields: { '/n': 'counter' } };
const KEEP_BOTH = [{ function: 'keep-both', selector: { kind: 'note' } }, COUNTERS];

let pair: Mirrored;
beforeAll(async () => {
  pair = await startMirrored({
    databases: [
      { match: 'small', mode: 'mirror', selector: { n: { $lt: 10 } }, merge: COUNTERS },
      { match: 'some', mode: 'mirror', docIds: ['a', 'b'], merge: KEEP_BOTH },
      { match: '*', mode: 'local' },
    ],
  });
});
afterAll(() => pair.stop());

/** Upstream two clients edit a document at the same time. */
async function clash(name: string, id: string, [n, a, b]: readonly number[], more = {}): Promise<void> {
  const docs = [
    { _id: id, _rev: '1-o', n, ...more },
    { _id: id, _revisions: { start: 2, ids: ['a', 'o'] }, n: a, ...more },
    { _id: id, _revisions: { start: 2, ids: ['b', 'o'] }, n: b, ...more },
  ];
  const { body } = await pair.back.ask('POST', `/${name}/_bulk_docs`, { json: { docs, new_edits: false } });
  expect(body).toEqual([]);
}

interface Leaf {
  readonly _rev: string;
  readonly _deleted?: true;
  readonly n?: number;
}

/** All leaves of a document, deleted ones too, ordered by their revisions. */
async function leaves(server: Users, name: string, id: string): Promise<readonly Leaf[]> {
  const { status, body } = await server.ask('GET', `/${name}/${id}?open_revs=all`);
  const found = status === 200 ? (body as { ok: Leaf }[]) : [];
  return found.map(({ ok }) => ok).sort((a, b) => (a._rev < b._rev ? -1 : 1));
}

const counts = async (server: Users, name: string, id: string): Promise<readonly unknown[]> =>
  (await leaves(server, name, id)).flatMap(({ _deleted, n }) => (_deleted ? [] : [n])).sort();

/** Has the mirror made, and waits until one document is merged upstream. */
async function merged(name: string, id: string): Promise<void> {
  await pair.front.ask('GET', `/${name}`);
  await isHere(pair, name);
  await until('it is merged upstream', async () => (await counts(pair.back, name, id)).length === 1);
}

/** Why documents stay in conflict here. */
async function reasons(name: string): Promise<Readonly<Record<string, string | undefined>>> {
  return await until('all to be decided', async () => {
    const { body } = await pair.front.ask('GET', `/_gateway/databases/${name}/conflicts`);
    const { conflicts } = body as { conflicts: { id: string; state: string; reason?: string }[] };
    const isDecided = conflicts.every(({ state }) => state !== 'open');
    return isDecided && Object.fromEntries(conflicts.map(({ id, reason }) => [id, reason]));
  });
}

test('a mirror of what fits a selector merges leaves that fit, where what comes out fits as well', async () => {
  const { front, back } = pair;
  await back.ask('PUT', '/small');
  await clash('small', 'outgrows', [1, 5, 8]);
  await clash('small', 'one-fits', [1, 2, 20]);
  await clash('small', 'large', [10, 20, 30]);
  await clash('small', 'fits', [1, 2, 3]);
  await merged('small', 'fits');
  expect(await counts(back, 'small', 'fits')).toEqual([4]);
  expect(await leaves(front, 'small', 'fits')).toEqual(await leaves(back, 'small', 'fits'));
  // What the upstream has in conflict is no conflict here where one leaf of it is.
  expect(await reasons('small')).toEqual({ outgrows: expect.stringContaining('selector') as string });
  expect(await counts(front, 'small', 'one-fits')).toEqual([2]);
  expect(await counts(front, 'small', 'outgrows')).toEqual([5, 8]);
  expect(Object.keys(await contentOf(front, 'small'))).toEqual(['fits', 'one-fits', 'outgrows']);
  for (const [id, all] of [
    ['outgrows', [5, 8]],
    ['one-fits', [2, 20]],
    ['large', [20, 30]],
  ] as const)
    expect(await counts(back, 'small', id)).toEqual(all);
});

test('a mirror of some documents merges those, and makes no other one of them', async () => {
  const { front, back } = pair;
  await back.ask('PUT', '/some');
  await clash('some', 'b', [1, 2, 3], { kind: 'note' });
  await clash('some', 'c', [1, 2, 3]);
  await clash('some', 'a', [1, 2, 3]);
  await merged('some', 'a');
  expect(await counts(back, 'some', 'a')).toEqual([4]);
  expect(await leaves(front, 'some', 'a')).toEqual(await leaves(back, 'some', 'a'));
  expect(await reasons('some')).toEqual({ b: expect.stringContaining('may not be written') as string });
  expect(Object.keys(await contentOf(front, 'some'))).toEqual(['a', 'b']);
  expect(Object.keys(await contentOf(back, 'some'))).toEqual(['a', 'b', 'c']);
  for (const id of ['b', 'c']) expect(await counts(back, 'some', id)).toEqual([2, 3]);
});
