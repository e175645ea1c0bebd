import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Fetched, Peer } from '../../src/replication/peer.js';
import type { ReplicationTuning } from '../../src/replication/options.js';
import type { ReplicationListener } from '../../src/replication/replication.js';
import { startReplication } from '../../src/replication/run.js';
import { startApp, type TestApp } from '../http/app.js';
import { type Fault, type FaultyProxy, startFaultyProxy } from '../support/faulty-proxy.js';
import { HASTY, httpPeer, localPeer } from '../support/peers.js';
import '../support/seed.js';
import { attachmentsMember, following, revision } from './acceptance.js';
import { expectNoneAhead, expectSame } from './replicas.js';

const never = new AbortController().signal;
const ID = 'faults';

let app: TestApp;
let proxy: FaultyProxy;
beforeAll(async () => {
  app = await startApp();
  proxy = await startFaultyProxy(app.port);
});
afterAll(async () => {
  await proxy.close();
  await app.stop();
});

let count = 0;
const hashOf = (number: number): string => number.toString(16).padStart(32, 'f');

/** A source with documents, conflicts and attachments. */
async function fill(peer: Peer, documents = 60): Promise<void> {
  await peer.create({}, never);
  const numbers = Array.from({ length: documents }, (_, n) => n);
  await peer.write(
    numbers.map((n) => revision(`doc${n}`, [hashOf(n)], `"n":${n},"text":"${'x'.repeat(n * 10)}"`)),
    never,
  );
  await peer.write([revision('doc1', [hashOf(1000)]), revision('doc2', [hashOf(1001), hashOf(2)])], never);
  for (let n = 0; n < 4; n++) {
    const attachments = [following('a', randomBytes(20_000 * n)), following('b', Buffer.from('short'))];
    const document = revision(`with${n}`, [hashOf(2000 + n)], attachmentsMember(attachments));
    await peer.writeWithAttachments({ ...document, attachments }, never);
  }
}

interface Sides {
  readonly source: Peer;
  readonly target: Peer;
  /** The same databases without the proxy. */
  readonly plain: readonly [source: Peer, target: Peer];
}

/** Databases here and behind the proxy, the source filled. */
async function sides(direction: 'pull' | 'push', documents?: number): Promise<Sides> {
  const [from, to] = [`db${++count}`, `db${++count}`];
  const here = (name: string): Peer => localPeer(app.databases, name);
  const behind = (name: string): Peer =>
    httpPeer(`http://127.0.0.1:${proxy.port}/${name}/`, {
      headers: { 'x-test-user': 'admin' },
      timeout: 300,
    });
  await fill(here(from), documents);
  await here(to).create({}, never);
  return {
    source: direction === 'pull' ? behind(from) : here(from),
    target: direction === 'push' ? behind(to) : here(to),
    plain: [here(from), here(to)],
  };
}

const replicate = (
  { source, target }: Sides,
  listener: ReplicationListener = {},
  tuning: Partial<ReplicationTuning> = {},
) =>
  startReplication({
    id: ID,
    source,
    target,
    options: {},
    tuning: { ...HASTY, batchSize: 16, batchBytes: 3000, checkpointInterval: 5, ...tuning },
    listener,
  });

const fault: fc.Arbitrary<Fault> = fc.oneof(
  fc.constantFrom(500, 502, 503, 408).map((status) => ({ kind: 'answer', status }) as const),
  fc.constant({ kind: 'answer', status: 429, retryAfter: 0 } as const),
  fc.nat(3000).map((after) => ({ kind: 'reset', after }) as const),
  fc.nat(3000).map((after) => ({ kind: 'truncated', after }) as const),
  fc.nat(3000).map((after) => ({ kind: 'cut', after }) as const),
);
const silence = fc.constant<Fault>({ kind: 'silence' });
/** What happens to requests, one after the other. */
const course = fc.array(
  fc.oneof(
    { weight: 12, arbitrary: fc.constant(undefined) },
    { weight: 4, arbitrary: fault },
    { weight: 1, arbitrary: silence },
  ),
  { maxLength: 40 },
);

describe('a revision that the source announces, and says that it has not got', () => {
  const MISSING: Fault = { kind: 'answer', status: 404, body: '{"error":"not_found","reason":"missing"}' };
  const isApart = (method: string, path: string): boolean => method === 'GET' && path.includes('/doc7?');
  /** A `_bulk_get` that has nothing of one document. */
  const none = (rev: string): Fault => {
    const error = { id: 'doc7', rev, error: 'not_found', reason: 'missing' };
    return {
      kind: 'answer',
      status: 200,
      body: JSON.stringify({ results: [{ id: 'doc7', docs: [{ error }] }] }),
    };
  };

  it('is asked for again, and comes', async () => {
    const both = await sides('pull', 30);
    let left = 3;
    proxy.faults = (method, path) => {
      if (path.includes('/_bulk_get')) return left === 3 ? none(`1-${hashOf(7)}`) : undefined;
      return isApart(method, path) && left-- > 0 ? MISSING : undefined;
    };
    const options = { docIds: ['doc7'] };
    await startReplication({
      id: `${ID}-part`,
      source: both.source,
      target: both.target,
      options,
      tuning: HASTY,
    }).done;
    expect(left).toBe(-1);
    expect(await both.plain[1].get('doc7', never)).toMatchObject({ n: 7 });
    await replicate(both).done;
    await expectSame(...both.plain);
  });

  it('fails the run, and no checkpoint passes it, where it never comes, while everything else does', async () => {
    const both = await sides('pull', 30);
    proxy.faults = (method, path) => (isApart(method, path) ? MISSING : undefined);
    const held: string[] = [];
    const run = startReplication({
      ...{ id: ID, source: both.source, target: both.target },
      options: { useBulkGet: false },
      tuning: { ...HASTY, retries: 1 },
      listener: { onHeld: ({ id }) => void held.push(id) },
    });
    await expect(run.done).rejects.toMatchObject({
      reason: expect.stringMatching(/missing.*announces.*doc7/) as string,
    });
    expect(new Set(held)).toEqual(new Set(['doc7']));
    await expectNoneAhead(...both.plain, ID);
    proxy.faults = () => undefined;
    await replicate(both).done;
    await expectSame(...both.plain);
  });

  it('is passed over where the feed does not announce it any more', async () => {
    const both = await sides('pull', 30);
    const name = both.plain[0].name.split('/').at(-2) ?? '';
    const feed = await both.source.changes(
      { since: 0, limit: 100, seqInterval: 1, style: 'all_docs', wait: false },
      never,
    );
    const row = feed.rows.find(({ id }) => id === 'doc7');
    await app.databases.use(name, (db) => db.purge(new Map([['doc7', row?.revs ?? []]])));
    const wanted = { id: 'doc7', missing: row?.revs ?? [], possibleAncestors: [] };
    const opened = [];
    for await (const one of both.source.open(wanted, never)) opened.push(one.kind);
    expect(opened).toEqual(opened.filter((kind) => kind === 'missing'));
  });

  it('is told from many that are gone by few requests', async () => {
    const both = await sides('pull', 160);
    const [{ name: url }] = both.plain;
    const wanted = Array.from({ length: 160 }, (_, n) => ({
      id: `doc${n}`,
      missing: [`1-${hashOf(n)}`],
      possibleAncestors: [],
    }));
    const purged = wanted.slice(10).map(({ id, missing }) => [id, missing] as const);
    await app.databases.use(url.split('/').at(-2) ?? '', (db) => db.purge(new Map(purged)));
    // The database has it, and the line has lost it.
    const answers = wanted
      .slice(9)
      .map(({ id, missing: [rev] }) => ({ id, docs: [{ error: { id, rev, error: 'not_found' } }] }));
    const requests: string[] = [];
    proxy.faults = (method, path) => {
      requests.push(`${method} ${path.replace(/\?.*/, '')}`);
      const body = JSON.stringify({ results: answers });
      return path.includes('/_bulk_get') ? { kind: 'answer', status: 200, body } : undefined;
    };
    const found: Fetched[] = [];
    for await (const page of both.source.fetch(wanted.slice(9), never)) found.push(...page);
    expect(found.filter(({ kind }) => kind !== 'missing')).toEqual([
      { kind: 'apart', id: 'doc9', rev: `1-${hashOf(9)}` },
    ]);
    expect(found).toHaveLength(151);
    const feed = requests.filter((one) => one.endsWith('/_changes'));
    expect([requests.length, feed.length]).toEqual([3, 2]);
    proxy.faults = () => undefined;
    await replicate(both).done;
    await expectSame(...both.plain);
  });
});

describe.each(['pull', 'push'] as const)('a %s over a line that fails', (direction) => {
  it('brings everything in the end, and no checkpoint runs ahead', async () => {
    await fc.assert(
      fc.asyncProperty(course, async (faults) => {
        const both = await sides(direction);
        const queue = faults.values();
        proxy.faults = () => queue.next().value;
        for (let run = 1; ; run++) {
          const failure = await replicate(both).done.then(
            () => undefined,
            (error: unknown) => error,
          );
          await expectNoneAhead(...both.plain, ID);
          if (failure === undefined) break;
          // Each fault ends a run at most.
          expect(run).toBeLessThanOrEqual(faults.length);
        }
        proxy.faults = () => undefined;
        await expectSame(...both.plain);
      }),
      { numRuns: 6 },
    );
  });

  it('goes on with smaller requests where large ones fail', async () => {
    const both = await sides(direction);
    const sizes: number[] = [];
    const path = direction === 'pull' ? '_bulk_get' : '_bulk_docs';
    let failing = 3;
    proxy.faults = (_method, url) =>
      url.includes(path) && failing-- > 0 ? { kind: 'answer', status: 503 } : undefined;
    await replicate(both, { onRetry: () => sizes.push(1) }, { workers: 1 }).done;
    expect(sizes).toHaveLength(3);
    await expectSame(...both.plain);
  });

  it('ends when the account may not go on, and begins again at its checkpoint', async () => {
    const both = await sides(direction, 300);
    let allowed = 12;
    proxy.faults = () =>
      allowed-- > 0
        ? undefined
        : { kind: 'answer', status: 401, body: '{"error":"unauthorized","reason":"no more"}' };
    await expect(replicate(both).done).rejects.toMatchObject({ status: 401 });
    await expectNoneAhead(...both.plain, ID);
    proxy.faults = () => undefined;
    await replicate(both).done;
    await expectSame(...both.plain);
  });

  it('does not take what the account may not do for a moment for a refusal', async () => {
    const both = await sides(direction);
    let failures = 0;
    proxy.faults = (method, url) =>
      method === (direction === 'pull' ? 'GET' : 'PUT') && url.includes('/with2') && failures++ === 0
        ? { kind: 'answer', status: 401, body: '{"error":"unauthorized","reason":"not now"}' }
        : undefined;
    const refused: string[] = [];
    const run = () => replicate(both, { onRefused: ({ id }) => void refused.push(id) }).done;
    // Whatever is asked of the source is asked of the account.
    if (direction === 'pull') await expect(run()).rejects.toMatchObject({ status: 401 });
    await run();
    expect([failures, refused]).toEqual([2, []]);
    await expectSame(...both.plain);
  });

  it('ends when the other side is away for longer than it is patient', async () => {
    const both = await sides(direction);
    let left = 6;
    proxy.faults = () => (left-- > 0 ? undefined : { kind: 'cut', after: 0 });
    await expect(replicate(both).done).rejects.toMatchObject({ name: 'PeerUnreachable' });
    proxy.faults = () => undefined;
    await replicate(both).done;
    await expectSame(...both.plain);
  });
});
