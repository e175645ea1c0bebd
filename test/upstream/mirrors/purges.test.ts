import { expect, test } from 'vitest';
import { Purges } from '../../../src/upstream/mirrors/purges.js';
import { PurgedTarget } from '../../../src/upstream/mirrors/purged-target.js';
import { PeerUnreachable, type Sequence } from '../../../src/replication/peer.js';
import { put, replicate } from '../../support/store.js';
import { type Flows, newFlows } from './flows.js';
import { withUpstreams } from './upstreams.js';

/** What follows the purges of an upstream, and the number up to which they are done. */
function follower(
  flows: Flows,
  known?: Sequence,
  refused: readonly string[] = [],
  isWhole = true,
): { purges: Purges; done: () => Sequence | undefined } {
  let done: Sequence | undefined = known;
  const purges = new Purges({
    upstream: flows.remote,
    access: flows.access,
    known,
    prepare: () => Promise.resolve(isWhole),
    refusedOf: () => Promise.resolve(refused),
    onDone: (seq) => {
      done = seq;
      return Promise.resolve();
    },
  });
  return { purges, done: () => done };
}

const idsHere = (flows: Flows): Promise<string[]> =>
  flows.use(async (db) => {
    const ids: string[] = [];
    for await (const page of (await db.list({})).pages) ids.push(...page.map(({ id }) => id));
    return ids;
  });

/** Writes replicated revisions upstream and pulls them. */
async function bring(flows: Flows, ...docs: { _id: string; _rev: string }[]): Promise<void> {
  await flows.ask('POST', '_bulk_docs', { docs, new_edits: false });
  await flows.pull();
}

withUpstreams('what was purged upstream', (upstream) => {
  test('goes here too, and does not go back up', async () => {
    const flows = await newFlows(upstream());
    await bring(flows, { _id: 'a', _rev: '1-a' }, { _id: 'b', _rev: '1-a' }, { _id: 'b', _rev: '1-b' });
    const { purges, done } = follower(flows);
    await purges.follow(flows.signal);
    await flows.ask('POST', '_purge', { a: ['1-a'], b: ['1-b', '1-none'], none: ['1-a'] });
    await purges.follow(flows.signal);
    expect(await idsHere(flows)).toEqual(['b']);
    expect(
      await flows.use((db) =>
        Promise.resolve(
          db
            .get('b')
            ?.leaves()
            .map(({ rev }) => rev),
        ),
      ),
    ).toEqual(['1-a']);
    await flows.use((db) => db.unsent.voidAll());
    expect(await flows.push()).toMatchObject({ written: 0 });
    expect(await flows.ask('GET', '')).toMatchObject({ doc_count: 1 });
    expect(done()).toBe(((await flows.ask('GET', '')) as { purge_seq: Sequence }).purge_seq);
  });

  test('is refused, and told, where it comes here again from elsewhere', async () => {
    const flows = await newFlows(upstream());
    await bring(flows, { _id: 'a', _rev: '1-a' });
    await flows.ask('POST', '_purge', { a: ['1-a'] });
    const { purges } = follower(flows);
    await purges.follow(flows.signal);
    await flows.use((db) => replicate(db, { _id: 'a', _rev: '1-a' }, { _id: 'b', _rev: '1-a' }));
    const flow = await flows.push(new PurgedTarget(flows.remote, purges));
    expect(flow.refused).toMatchObject([{ id: 'a', rev: '1-a', error: { status: 403, error: 'forbidden' } }]);
    expect(await flows.ask('GET', '')).toMatchObject({ doc_count: 1 });
    // Whoever starts again knows of it too.
    const later = follower(flows, ((await flows.ask('GET', '')) as { purge_seq: Sequence }).purge_seq);
    expect(await later.purges.has('a', '1-a', flows.signal)).toBe(true);
    expect(await later.purges.has('b', '1-a', flows.signal)).toBe(false);
  });

  test('says nothing of a revision while the upstream does not know the account', async () => {
    const flows = await newFlows(upstream());
    await flows.ask('POST', '_purge', { a: ['1-a'] });
    const remote = flows.as({ authorization: `Basic ${Buffer.from('stranger:secret').toString('base64')}` });
    const { purges } = follower({ ...flows, remote });
    await expect(purges.has('a', '1-a', flows.signal)).rejects.toBeInstanceOf(PeerUnreachable);
  });

  test('goes here as far as it came: a leaf here may be what led to what was purged', async () => {
    const flows = await newFlows(upstream());
    await bring(flows, { _id: 'a', _rev: '1-a' }, { _id: 'a', _rev: '1-b' }, { _id: 'b', _rev: '1-a' });
    await flows.use((db) => replicate(db, { _id: 'b', _rev: '1-c' }));
    const later = { _rev: '2-d', _revisions: { start: 2, ids: ['d', 'a'] } };
    const docs = ['a', 'b'].map((_id) => ({ _id, ...later }));
    await flows.ask('POST', '_bulk_docs', { docs, new_edits: false });
    await flows.ask('POST', '_purge', { a: ['2-d'], b: ['2-d'] });
    const leaves = (): Promise<unknown> =>
      flows.use(async (db) =>
        (await db.getMany(['a', 'b'])).map((one) => one?.leaves().map(({ rev }) => rev)),
      );
    // Where the upstream may have lost more than that, nobody knows what was purged.
    const doubtful = follower(flows, '0-x', [], false);
    await doubtful.purges.follow(flows.signal);
    expect(await leaves()).toEqual([
      ['1-b', '1-a'],
      ['1-c', '1-a'],
    ]);
    expect(doubtful.done()).toBe('0-x');
    await follower(flows).purges.follow(flows.signal);
    // What waits brings what it stands beside.
    expect(await leaves()).toEqual([['1-b'], ['1-c', '1-a']]);
  });

  test('stays here where it came back upstream since', async () => {
    const flows = await newFlows(upstream());
    await bring(flows, { _id: 'a', _rev: '1-a' });
    await flows.ask('POST', '_purge', { a: ['1-a'] });
    await flows.ask('POST', '_bulk_docs', { docs: [{ _id: 'a', _rev: '1-a' }], new_edits: false });
    const { purges } = follower(flows, '0-x');
    await purges.follow(flows.signal);
    expect(await idsHere(flows)).toEqual(['a']);
  });

  test('leaves what was edited here since, which goes up', async () => {
    const flows = await newFlows(upstream());
    await bring(flows, { _id: 'a', _rev: '1-a' });
    await flows.use((db) => put(db, { _id: 'a', _rev: '1-a', n: 2 }));
    await flows.ask('POST', '_purge', { a: ['1-a'] });
    const { purges } = follower(flows);
    await purges.follow(flows.signal);
    expect(await flows.push(new PurgedTarget(flows.remote, purges))).toMatchObject({
      written: 1,
      refused: [],
    });
    expect(await flows.ask('GET', 'a')).toMatchObject({ n: 2 });
  });

  test('leaves what was written here again and has not gone, or was refused, until nobody waits for that', async () => {
    const flows = await newFlows(upstream());
    await bring(flows, { _id: 'a', _rev: '1-a' }, { _id: 'b', _rev: '1-a' });
    await flows.ask('POST', '_purge', { a: ['1-a'], none: ['1-n'] });
    await follower(flows).purges.follow(flows.signal);
    expect(await idsHere(flows)).toEqual(['b']);
    // One that was here before it was purged, one that never was, and one beside what the upstream has.
    await flows.use((db) =>
      replicate(db, { _id: 'a', _rev: '1-a' }, { _id: 'none', _rev: '1-n' }, { _id: 'b', _rev: '1-b' }),
    );
    await flows.ask('POST', '_purge', { b: ['1-b'] });
    const all = ['a', 'b', 'none'];
    await follower(flows).purges.follow(flows.signal);
    expect(await idsHere(flows)).toEqual(all);
    // Nothing is known of what waits by now, but for those.
    await flows.use((db) => db.unsent.voidAll());
    await follower(flows).purges.follow(flows.signal);
    expect(await idsHere(flows)).toEqual(all);
    const { purges } = follower(flows);
    const { refused } = await flows.push(new PurgedTarget(flows.remote, purges));
    expect(refused.map(({ id, rev }) => `${id} ${rev}`).sort()).toEqual(['a 1-a', 'b 1-b', 'none 1-n']);
    await follower(flows, undefined, ['1-a', '1-b', '1-n']).purges.follow(flows.signal);
    expect(await idsHere(flows)).toEqual(all);
    await follower(flows).purges.follow(flows.signal);
    expect(await idsHere(flows)).toEqual(['b']);
    expect(await flows.use((db) => Promise.resolve(db.get('b')?.leaves().length))).toBe(1);
  });

  test('goes here though its document has something else that waits', async () => {
    const flows = await newFlows(upstream());
    await bring(flows, { _id: 'a', _rev: '1-a' }, { _id: 'a', _rev: '1-b' }, { _id: 'a', _rev: '1-d' });
    await flows.use((db) => replicate(db, { _id: 'a', _rev: '1-c' }));
    await flows.ask('POST', '_purge', { a: ['1-b', '1-c', '1-d'] });
    await follower(flows).purges.follow(flows.signal);
    const leaves = await flows.use((db) => Promise.resolve(db.get('a')?.leaves()));
    expect(leaves?.map(({ rev }) => rev)).toEqual(['1-c', '1-a']);
  });

  test('and what was put back from a copy is purged, though nobody knows what waits', async () => {
    const flows = await newFlows(upstream());
    await bring(flows, { _id: 'a', _rev: '1-a' }, { _id: 'b', _rev: '1-a' });
    await flows.ask('POST', '_purge', { a: ['1-a'] });
    await flows.use((db) => db.unsent.voidAll());
    await follower(flows).purges.follow(flows.signal);
    expect(await idsHere(flows)).toEqual(['b']);
  });

  test('and forgotten there is a failure, as nobody can tell what is to go', async () => {
    const flows = await newFlows(upstream());
    const { purges, done } = follower(flows);
    await purges.follow(flows.signal);
    const before = done();
    await flows.ask('PUT', '_purged_infos_limit', 2);
    for (const n of [1, 2, 3, 4]) await flows.ask('POST', '_purge', { [`n${String(n)}`]: ['1-a'] });
    // They are remembered until then.
    await purges.follow(flows.signal);
    for (const n of [5, 6, 7, 8]) await flows.ask('POST', '_purge', { [`n${String(n)}`]: ['1-a'] });
    const known = done();
    await flows.ask('POST', '_compact', {});
    await expect
      .poll(
        async () =>
          ((await flows.ask('GET', '_purged_infos')) as { purged_infos: unknown[] }).purged_infos.length,
        {
          timeout: 30_000,
        },
      )
      .toBeLessThan(8);
    await expect(purges.follow(flows.signal)).rejects.toMatchObject({ error: 'purges_forgotten' });
    expect([done() === known, known === before]).toEqual([true, false]);
    // Once an admin had everything compared it goes on.
    await follower(flows).purges.follow(flows.signal);
  });
});
