import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startUsers, type Users } from '../../auth/users/gateway.js';
import { until } from '../../system/support/wait.js';

const counters = (n: string): object => ({ function: 'three-way', fields: { '/n': n } });
/** What the gateways do in databases whose name begins so: all the same, or each something else. */
const RULES = (at: number): readonly [match: string, merge: unknown][] => [
  ['counted*', counters('counter')],
  ['plain*', 'three-way'],
  ['differ*', counters(['max', 'min', 'max'][at] ?? '')],
  ['cycle*', { function: 'last-write-wins', field: ['/a', '/b', '/c'][at] }],
];

let gateways: readonly [Users, Users, Users];
beforeAll(async () => {
  const start = (at: number): Promise<Users> =>
    startUsers({
      databases: RULES(at).map(([match, merge]) => ({ match, mode: 'local', merge })),
    } as Parameters<typeof startUsers>[0]);
  gateways = [await start(0), await start(1), await start(2)];
});
afterAll(() => Promise.all(gateways.map((gateway) => gateway.stop())));

interface Leaf {
  readonly _rev: string;
  readonly _deleted?: true;
  readonly _revisions: { readonly start: number; readonly ids: readonly string[] };
  readonly [member: string]: unknown;
}

/** A database of that name on each gateway. */
async function make(database: string, limit = 1000): Promise<void> {
  for (const { ask } of gateways) {
    await ask('PUT', `/${database}`);
    if (limit < 1000) await ask('PUT', `/${database}/_revs_limit`, { text: String(limit) });
  }
}

/** Revisions as a replicator writes them; a text is sent as it is. */
async function write(gateway: Users, database: string, ...docs: (object | string)[]): Promise<void> {
  const texts = docs.map((doc) => (typeof doc === 'string' ? doc : JSON.stringify(doc)));
  const text = `{"new_edits":false,"docs":[${texts.join()}]}`;
  const headers = { 'content-type': 'application/json' };
  const answer = await gateway.ask('POST', `/${database}/_bulk_docs`, { text, headers });
  expect(answer).toMatchObject({ status: 201, body: [] });
}

/** `2-b1-o` with these members: generation 2, its hash, and its ancestors. */
const rev = (path: string, members: object = {}, _id = 'a'): object => {
  const [start = '', ...ids] = path.split('-');
  return { _id, _revisions: { start: Number(start), ids }, _rev: `${start}-${ids[0] ?? ''}`, ...members };
};

async function leaves(gateway: Users, database: string, id = 'a'): Promise<readonly Leaf[]> {
  const { status, body } = await gateway.ask('GET', `/${database}/${id}?open_revs=all&revs=true`);
  const found = status === 200 ? (body as readonly { readonly ok: Leaf }[]) : [];
  return found.map(({ ok }) => ok).sort((a, b) => (a._rev < b._rev ? -1 : 1));
}

const living = async (gateway: Users, database: string, id?: string): Promise<readonly Leaf[]> =>
  (await leaves(gateway, database, id)).filter(({ _deleted }) => _deleted !== true);

/** A document as it is sent. */
async function textOf({ gateway }: Users, path: string): Promise<string> {
  const headers = { authorization: `Basic ${Buffer.from('admin:secret').toString('base64')}` };
  return (await fetch(`${gateway.url}/${path}`, { headers })).text();
}

/** Waits until one leaf is left that is not deleted. */
const merged = (gateway: Users, database: string, id?: string): Promise<Leaf> =>
  until('it is merged', async () => {
    const [first, ...others] = await living(gateway, database, id);
    return others.length === 0 && first;
  });

/** Brings leaves from one gateway to another: all, or some. */
async function carry(
  from: Users,
  to: Users,
  database: string,
  isChosen: (leaf: Leaf) => boolean = () => true,
): Promise<void> {
  await write(to, database, ...(await leaves(from, database)).filter(isChosen));
}

/** What became of conflicts: the reason of each, or its state where it has none. */
async function conflicts({ ask }: Users, database: string): Promise<readonly string[]> {
  const { body } = await ask('GET', `/_gateway/databases/${database}/conflicts`);
  const rows = (body as { conflicts: readonly { state: string; reason?: string }[] }).conflicts;
  return rows.map(({ state, reason }) => reason ?? state);
}

/** Waits until a gateway has decided about all conflicts. */
const quiet = (gateway: Users, database: string): Promise<unknown> =>
  until('it has nothing to do', async () => !(await conflicts(gateway, database)).includes('open'));

/**
 * Everything goes everywhere at the same time until nothing new is written; then all have the same.
 * @returns the leaves that are not deleted
 */
async function settle(database: string): Promise<readonly Leaf[]> {
  const all = (): Promise<(readonly Leaf[])[]> =>
    Promise.all(gateways.map((gateway) => leaves(gateway, database)));
  for (let before = await all(), rounds = 0; ; rounds += 1) {
    const docs = before.flat();
    await Promise.all(gateways.map((gateway) => write(gateway, database, ...docs)));
    await Promise.all(gateways.map((gateway) => quiet(gateway, database)));
    const after = await all();
    expect(rounds, 'it comes to an end').toBeLessThan(20);
    if (isDeepStrictEqual(after, before)) break;
    before = after;
  }
  const [first = [], ...others] = await all();
  for (const other of others) expect(other).toEqual(first);
  return first.filter(({ _deleted }) => _deleted !== true);
}

const isMerged = ({ _rev }: Leaf): boolean => _rev.includes('-c0a1e5');
const isTombstone = ({ _rev }: Leaf): boolean => _rev.includes('-c105ed');

const A = { n: 1, a: 1 };
const B = { n: 2, b: 1 };

describe('a document that clients edited on two gateways', () => {
  test('is not merged again where the merged revision comes before the tombstones', async () => {
    const [one, two] = gateways;
    await make('counted-early');
    await write(one, 'counted-early', rev('1-o', { n: 0 }));
    await write(one, 'counted-early', rev('2-a-o', A), rev('2-b-o', B));
    await merged(one, 'counted-early');
    await write(two, 'counted-early', rev('1-o', { n: 0 }));
    await write(two, 'counted-early', rev('2-a-o', A));
    await carry(one, two, 'counted-early', isMerged);
    expect(await merged(two, 'counted-early')).toMatchObject({ n: 3, a: 1, b: 1 });
    expect(await leaves(two, 'counted-early')).toEqual(await leaves(one, 'counted-early'));
    expect(await settle('counted-early')).toHaveLength(1);
  });

  test('is back where a tombstone came before the merged revision, with what was edited meanwhile', async () => {
    const [one, two, three] = gateways;
    await make('counted-late');
    await write(one, 'counted-late', rev('1-o', { n: 0 }));
    await write(one, 'counted-late', rev('2-a-o', A), rev('2-b-o', B));
    await merged(one, 'counted-late');
    await write(two, 'counted-late', rev('2-a-o', A));
    await write(three, 'counted-late', rev('1-o', { n: 0 }));
    await write(three, 'counted-late', rev('2-b-o', B));
    for (const other of [two, three]) await carry(one, other, 'counted-late', isTombstone);
    expect((await two.ask('GET', '/counted-late/a')).status).toBe(404);
    const edit = { _rev: '2-b', n: 12, b: 1 };
    expect((await three.ask('PUT', '/counted-late/a', { json: edit })).status).toBe(201);
    for (const other of [two, three]) await carry(one, other, 'counted-late', isMerged);
    expect((await two.ask('GET', '/counted-late/a')).body).toMatchObject({ n: 3 });
    expect(await settle('counted-late')).toMatchObject([{ n: 13, a: 1, b: 1 }]);
  });

  test('counts each edit once where the leaf that went in and the winner are edited at the same time', async () => {
    const [one, two, three] = gateways;
    await make('counted-both');
    for (const gateway of gateways) await write(gateway, 'counted-both', rev('1-o', { n: 0 }));
    await write(one, 'counted-both', rev('2-a-o', A), rev('2-b-o', B));
    await write(two, 'counted-both', rev('2-a-o', A));
    await write(three, 'counted-both', rev('2-b-o', B));
    const { _rev } = await merged(one, 'counted-both');
    const edits = [
      [one, { _rev, n: 1003, a: 1, b: 1 }],
      [two, { _rev: '2-a', n: 11, a: 1 }],
      [three, { _rev: '2-b', n: 102, b: 1 }],
    ] as const;
    for (const [gateway, json] of edits)
      expect((await gateway.ask('PUT', '/counted-both/a', { json })).status).toBe(201);
    expect(await settle('counted-both')).toMatchObject([{ n: 1113, a: 1, b: 1 }]);
  });

  test('is merged below the winner, though a deleted leaf is longer', async () => {
    const [one] = gateways;
    await make('counted-deleted');
    await write(one, 'counted-deleted', rev('1-o', { n: 0 }));
    await write(one, 'counted-deleted', rev('6-d6-d5-d4-d3-d2-o', { _deleted: true }));
    await write(one, 'counted-deleted', rev('2-a-o', A), rev('2-b-o', B));
    const { _revisions } = await merged(one, 'counted-deleted');
    expect(_revisions).toMatchObject({ start: 3, ids: [expect.any(String), 'b', 'o'] });
    expect(await settle('counted-deleted')).toMatchObject([{ n: 3 }]);
  });

  test('is not taken for equal where numbers differ beyond what a double holds', async () => {
    const [one] = gateways;
    await make('plain-digits');
    await make('counted-digits');
    const doc = (path: string, n: string): string => JSON.stringify(rev(path)).replace(/}$/, `,"n":${n}}`);
    for (const database of ['plain-digits', 'counted-digits']) {
      await write(one, database, doc('1-o', '9007199254740990'));
      await write(one, database, doc('2-a-o', '9007199254740992'), doc('2-b-o', '9007199254740993'));
    }
    await quiet(one, 'plain-digits');
    expect(await textOf(one, 'plain-digits/a?rev=2-a')).toContain('"n":9007199254740992}');
    expect(await textOf(one, 'plain-digits/a?rev=2-b')).toContain('"n":9007199254740993}');
    expect(await living(one, 'plain-digits')).toHaveLength(2);
    await merged(one, 'counted-digits');
    expect(await textOf(one, 'counted-digits/a')).toContain('"n":9007199254740995}');
  });
});

describe('gateways that do not agree', () => {
  test('keep what each of three picked in a cycle', async () => {
    await make('cycle');
    const docs = { x: { a: 3, b: 1, c: 2 }, y: { a: 2, b: 3, c: 1 }, z: { a: 1, b: 2, c: 3 } };
    const pairs = [
      ['x', 'y'],
      ['y', 'z'],
      ['z', 'x'],
    ] as const;
    for (const [at, pair] of pairs.entries()) {
      const gateway = gateways[at] ?? gateways[0];
      await write(gateway, 'cycle', rev('1-o'));
      await write(gateway, 'cycle', ...pair.map((name) => rev(`2-${name}-o`, docs[name])));
      expect(await merged(gateway, 'cycle')).toMatchObject(docs[pair[0]]);
    }
    const kept = await settle('cycle');
    expect(kept.map(({ a, b, c }) => ({ a, b, c }))).toEqual(expect.arrayContaining(Object.values(docs)));
  });

  test('leave alone what each made of the same leaves, until somebody edits one of them', async () => {
    const [one, two] = gateways;
    await make('differ');
    for (const gateway of [one, two]) {
      await write(gateway, 'differ', rev('1-o', { n: 0 }));
      await write(gateway, 'differ', rev('2-a-o', { n: 1 }), rev('2-b-o', { n: 2 }));
    }
    expect([await merged(one, 'differ'), await merged(two, 'differ')]).toMatchObject([{ n: 2 }, { n: 1 }]);
    const both = await settle('differ');
    expect(both.map(({ n }) => n).sort()).toEqual([1, 2]);
    for (const gateway of [one, two]) expect(await conflicts(gateway, 'differ')).toEqual(['rules differ']);
    const { body } = await one.ask('GET', '/differ/a');
    const edited = await one.ask('PUT', '/differ/a', { json: { ...(body as object), n: 7 } });
    expect(edited.status).toBe(201);
    expect(await settle('differ')).toMatchObject([{ n: 7 }]);
  });
});

describe('a merge that somebody undid', () => {
  test('stays undone on all gateways, until somebody edits one of the leaves', async () => {
    const [one, , three] = gateways;
    await make('counted-undone');
    await write(one, 'counted-undone', rev('1-o', { n: 0 }));
    await write(one, 'counted-undone', rev('2-a-o', A), rev('2-b-o', B));
    await merged(one, 'counted-undone');
    expect(await settle('counted-undone')).toHaveLength(1);
    const { status } = await one.ask('POST', '/_gateway/databases/counted-undone/journal/1/undo', {
      json: {},
    });
    expect(status).toBe(201);
    expect((await settle('counted-undone')).map(({ n }) => n).sort()).toEqual([1, 2]);
    for (const gateway of gateways) expect(await conflicts(gateway, 'counted-undone')).toEqual(['undone']);
    const { body } = await three.ask('GET', '/counted-undone/a');
    const json = { ...(body as { n: number }), n: (body as { n: number }).n + 10 };
    expect((await three.ask('PUT', '/counted-undone/a', { json })).status).toBe(201);
    expect(await settle('counted-undone')).toMatchObject([{ n: 13 }]);
  });
});

describe('a document of which old revisions were forgotten', () => {
  test('has a leaf go that went into a revision whose parent is not known', async () => {
    const [one, two] = gateways;
    await make('counted-stemmed', 3);
    await write(one, 'counted-stemmed', rev('1-o', { n: 0 }));
    await write(one, 'counted-stemmed', rev('2-a-o', A), rev('2-b-o', B));
    let { _rev } = await merged(one, 'counted-stemmed');
    for (const n of [13, 113]) {
      const { body } = await one.ask('PUT', '/counted-stemmed/a', { json: { _rev, n, a: 1, b: 1 } });
      _rev = (body as { rev: string }).rev;
    }
    await write(two, 'counted-stemmed', rev('2-a-o', A));
    await carry(one, two, 'counted-stemmed', (leaf) => !isTombstone(leaf));
    expect(await merged(two, 'counted-stemmed')).toMatchObject({ n: 113, _revisions: { start: 5 } });
    expect(await settle('counted-stemmed')).toMatchObject([{ n: 113 }]);
  });

  test('stays in conflict where nobody knows what its leaves have in common', async () => {
    const [one, two] = gateways;
    await make('counted-baseless', 3);
    await write(one, 'counted-baseless', rev('1-o', { n: 1 }));
    await write(one, 'counted-baseless', rev('2-a-o', { n: 2 }));
    await write(two, 'counted-baseless', rev('6-b6-b5-b4-b3-b2-o', { n: 6 }));
    const both = await settle('counted-baseless');
    expect(both.map(({ n }) => n).sort()).toEqual([2, 6]);
  });
});
