import fc from 'fast-check';
import { expect, test } from 'vitest';
import { tombstonesLast } from '../../../src/conflicts/sending.js';
import { CouchError } from '../../../src/errors.js';
import type { Peer, RevisionText } from '../../../src/replication/peer.js';
import { writeAgain } from '../../../src/replication/rejected.js';
import type { Refusal } from '../../../src/replication/replication.js';
import { startReplication } from '../../../src/replication/run.js';
import type { Database } from '../../../src/store/types/database.js';
import { HASTY, localPeer } from '../../support/peers.js';
import { newFolder, openDatabases, replicate } from '../../support/store.js';
import { newFlows } from '../mirrors/flows.js';
import { withUpstreams } from '../mirrors/upstreams.js';
import { merge } from './merged.js';

const leavesOf = (db: Database, id: string): string =>
  JSON.stringify(
    db
      .get(id)
      ?.leaves()
      .map(({ rev, deleted }) => [rev, deleted]),
  );

/** What a target does about one attempt to write a revision. */
type Fate = 'written' | 'refused' | 'held' | 'failed';

/** A target that takes, of each request, what `fateOf` says, and tells what it took. */
function moody(peer: Peer, fateOf: () => Fate, onTaken: (document: RevisionText) => void): Peer {
  return new Proxy(peer, {
    get(target, name) {
      if (name !== 'write') {
        const member: unknown = Reflect.get(target, name);
        return typeof member === 'function' ? (member.bind(target) as unknown) : member;
      }
      return async (documents: readonly RevisionText[], signal: AbortSignal) => {
        const fates = documents.map(fateOf);
        if (fates.includes('failed')) throw new CouchError(503, 'busy', 'try again');
        const taken = documents.filter((_, at) => fates[at] === 'written');
        for (const document of taken) onTaken(document);
        await target.write(taken, signal);
        return documents.flatMap(({ id, rev }, at) => {
          if (fates[at] === 'written') return [];
          const [status, kind] =
            fates[at] === 'refused' ? ([403, 'forbidden'] as const) : ([500, 'odd'] as const);
          return [{ id, rev, error: new CouchError(status, kind, 'for now') }];
        });
      };
    },
  });
}

const fates = fc.infiniteStream(
  fc.oneof(
    { weight: 6, arbitrary: fc.constant<Fate>('written') },
    { weight: 2, arbitrary: fc.constant<Fate>('refused') },
    { weight: 1, arbitrary: fc.constant<Fate>('held') },
    { weight: 1, arbitrary: fc.constant<Fate>('failed') },
  ),
);

test('a target has no tombstone without what its leaf went into, whatever it refuses, and all of it in the end', async () => {
  const databases = await openDatabases(await newFolder());
  let runs = 0;
  const property = fc.asyncProperty(
    fates,
    fc.array(fc.record({ isKept: fc.boolean(), isEdited: fc.boolean(), isThere: fc.boolean() }), {
      minLength: 1,
      maxLength: 8,
    }),
    fc.integer({ min: 1, max: 4 }),
    async (moods, shapes, batchSize) => {
      const [here, there] = [`here${runs}`, `there${runs++}`];
      for (const name of [here, there]) await databases.create(name);
      /** What has to be at the target before a tombstone: each by any of these. */
      const before = new Map<string, (readonly string[])[]>();
      for (const [at, { isKept, isEdited, isThere }] of shapes.entries()) {
        const id = `d${at}`;
        const { base, leaves, merged, mergedRev, tombstone, tombstoneRev, derived } = merge(id, { n: 1 });
        const edit = { _id: id, _revisions: { start: 4, ids: ['e', mergedRev.slice(2), 'b', 'o'] } };
        await databases.use(here, (db) => replicate(db, base, ...leaves));
        if (isThere) await databases.use(there, (db) => replicate(db, base, ...leaves));
        await databases.use(here, (db) =>
          replicate(db, merged, tombstone, ...(isEdited ? [edit] : []), ...(isKept ? [derived] : [])),
        );
        const { _id, _rev } = derived as { _id: string; _rev: string };
        before.set(`${id} ${tombstoneRev}`, [
          [`${id} ${mergedRev}`, `${id} 4-e`],
          ...(isKept ? [[`${_id} ${_rev}`]] : []),
        ]);
      }
      const taken = new Set<string>();
      const target = (fateOf: () => Fate): Peer =>
        moody(localPeer(databases, there), fateOf, ({ id, rev }) => {
          const all = before.get(`${id} ${rev}`) ?? [];
          for (const any of all) expect(any.some((one) => taken.has(one))).toBe(true);
          // What one request brings together has no order.
          queueMicrotask(() => taken.add(`${id} ${rev}`));
        });
      const push = async (fateOf: () => Fate): Promise<readonly Refusal[]> => {
        const refused: Refusal[] = [];
        await startReplication({
          id: 'push',
          source: localPeer(databases, here),
          target: target(fateOf),
          options: { useCheckpoints: false },
          order: tombstonesLast,
          tuning: { ...HASTY, firstRetry: 1, longestRetry: 1, batchSize },
          listener: { onRefused: (one) => void refused.push(one) },
        }).done.catch(() => undefined);
        return refused;
      };
      for (let round = 0; round < 2; round++) {
        const refused = await push(() => moods.next().value as Fate);
        for (const { behind, error } of refused)
          if (behind !== undefined) expect(error.reason).toMatch(/^It waits/);
      }
      expect(await push(() => 'written')).toEqual([]);
      for (const at of shapes.keys()) {
        const all = [here, there].map((name) => databases.use(name, (db) => leavesOf(db, `d${at}`)));
        const [one, other] = await Promise.all(all);
        expect(other).toBe(one);
      }
      for (const name of [here, there]) await databases.delete(name);
    },
  );
  await fc.assert(property, { numRuns: 15 });
});

test('a tombstone that is tried again by itself takes along what it has to wait for', async () => {
  const databases = await openDatabases(await newFolder());
  const { leaves, merged, mergedRev, tombstone, tombstoneRev } = merge('a', { n: 1 });
  for (const name of ['here', 'there']) {
    await databases.create(name);
    await databases.use(name, (db) => replicate(db, ...leaves));
  }
  await databases.use('here', (db) => replicate(db, merged, tombstone));
  const taken: string[] = [];
  const gone: string[] = [];
  const again = async (fate: Fate): Promise<void> => {
    const list = {
      written: (_: string, revs: readonly string[]) => Promise.resolve(void gone.push(...revs)),
    };
    const target = moody(
      localPeer(databases, 'there'),
      () => fate,
      ({ rev }) => taken.push(rev),
    );
    const spec = {
      id: 'push',
      source: localPeer(databases, 'here'),
      target,
      options: {},
      order: tombstonesLast,
    };
    const rejected = [{ id: 'a', rev: tombstoneRev }] as never;
    await writeAgain(list as never, rejected, { ...spec, tuning: HASTY }, new AbortController().signal);
  };
  await again('refused');
  expect([taken, gone]).toEqual([[], []]);
  await again('written');
  expect([taken, gone]).toEqual([[mergedRev, tombstoneRev], [tombstoneRev]]);
});

withUpstreams('an upstream that refuses what was merged, but no deletions', (upstream) => {
  test('gets no tombstones before it takes what came of that', async () => {
    const flows = await newFlows(upstream());
    const { base, leaves, merged, mergedRev, tombstone, tombstoneRev } = merge('a', { bad: true });
    const judge = { validate_doc_update: "function (doc) { if (doc.bad) throw { forbidden: 'no' } }" };
    await flows.ask('PUT', '_design/judge', judge);
    await flows.ask('POST', '_bulk_docs', { docs: [base, ...leaves], new_edits: false });
    await flows.pull();
    await flows.use((db) => replicate(db, merged, tombstone));
    const refused = (await flows.push()).refused.map((one) => [one.rev, one.behind]);
    expect(refused).toEqual([
      [mergedRev, undefined],
      [tombstoneRev, mergedRev],
    ]);
    const living = async (): Promise<readonly string[]> => {
      const { _rev, _conflicts = [] } = (await flows.ask('GET', 'a?conflicts=true')) as {
        readonly _rev: string;
        readonly _conflicts?: readonly string[];
      };
      return [_rev, ..._conflicts];
    };
    expect(await living()).toEqual(['2-b', '2-a']);
    const edit = { _id: 'a', _revisions: { start: 4, ids: ['e', mergedRev.slice(2), 'b', 'o'] } };
    await flows.use((db) => replicate(db, edit));
    expect(await flows.push()).toMatchObject({ written: 2, refused: [] });
    expect(await living()).toEqual(['4-e']);
  });
});
