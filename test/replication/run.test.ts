import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { CouchError } from '../../src/errors.js';
import { newAgent } from '../../src/replication/http/agent.js';
import type { ReplicationOptions } from '../../src/replication/options.js';
import type { Peer, WriteFailure } from '../../src/replication/peer.js';
import type { Refusal, ReplicationSpec } from '../../src/replication/replication.js';
import { startReplication } from '../../src/replication/run.js';
import { startApp, type TestApp } from '../http/app.js';
import { type FaultyProxy, startFaultyProxy } from '../support/faulty-proxy.js';
import { HASTY, httpPeer, localPeer } from '../support/peers.js';
import { until } from '../system/support/wait.js';
import { attachmentsMember, following, hash, revision } from './acceptance.js';
import { expectNoneAhead, expectSame, rowsOf } from './replicas.js';

const never = new AbortController().signal;
const ID = 'run';

let app: TestApp;
let proxy: FaultyProxy;
beforeAll(async () => {
  app = await startApp();
  proxy = await startFaultyProxy(app.port);
});
afterEach(() => {
  proxy.faults = () => undefined;
});
afterAll(async () => {
  await proxy.close();
  await app.stop();
});

let count = 0;
const newName = (): string => `db${++count}`;
const here = (name = newName()): Peer => localPeer(app.databases, name);
const behind = (name = newName()): Peer =>
  httpPeer(`http://127.0.0.1:${proxy.port}/${name}/`, { headers: { 'x-test-user': 'admin' } });

/** The same peer, but for some of its methods. */
function altered(peer: Peer, methods: Partial<Peer>): Peer {
  return new Proxy(peer, {
    get(inner, name) {
      const own = (methods as Readonly<Record<string | symbol, unknown>>)[name];
      const found: unknown = own ?? Reflect.get(inner, name, inner);
      if (typeof found !== 'function') return found;
      return (...args: readonly unknown[]): unknown => Reflect.apply(found, inner, args);
    },
  });
}

const hashOf = (number: number): string => number.toString(16).padStart(32, 'f');
const plainDocument = (n: number) => revision(`doc${n}`, [hashOf(n)], `"n":${n},"even":${n % 2 === 0}`);

async function filled(peer: Peer, documents = 20): Promise<Peer> {
  await peer.create({}, never);
  await peer.write(
    Array.from({ length: documents }, (_, n) => plainDocument(n)),
    never,
  );
  return peer;
}

const start = (
  source: Peer,
  target: Peer,
  options: ReplicationOptions = {},
  more: Partial<ReplicationSpec> = {},
) =>
  startReplication({
    id: ID,
    source,
    target,
    options: { createTarget: true, ...options },
    tuning: { ...HASTY, checkpointInterval: 5 },
    ...more,
  });

const logOf = (peer: Peer) => peer.getLocal(`_local/${ID}`, never);
const idsOf = async (peer: Peer): Promise<string[]> => (await rowsOf(peer)).map(({ id }) => id).sort();

describe('a replication', () => {
  it('counts what it does, and says so when there is nothing new', async () => {
    const [source, target] = [await filled(here()), here()];
    const first = await start(source, target).done;
    expect(first.noChanges).toBe(false);
    const [entry] = first.checkpoint?.history ?? [];
    expect(entry).toMatchObject({
      session_id: first.checkpoint?.sessionId,
      start_last_seq: 0,
      missing_checked: 20,
      missing_found: 20,
      docs_read: 20,
      docs_written: 20,
      doc_write_failures: 0,
    });
    expect(entry?.recorded_seq).toBe(first.checkpoint?.sourceLastSeq);
    expect(await start(source, target).done).toMatchObject({ noChanges: true, checkpoint: first.checkpoint });
    await source.write([revision('more', [hash('a')])], never);
    const { checkpoint } = await start(source, target).done;
    expect(checkpoint?.history[0]).toMatchObject({ docs_written: 21, start_last_seq: entry?.recorded_seq });
    expect(checkpoint?.history).toHaveLength(2);
    expect(await logOf(source)).toMatchObject({ history: checkpoint?.history, replication_id_version: 4 });
    await expectSame(source, target);
  });

  it.each([
    ['source', 'db_not_found', 500],
    ['target', 'db_not_found', 500],
  ])('says that its %s is not there', async (side, error, status) => {
    const peers = { source: here(), target: here() };
    if (side === 'target') await filled(peers.source);
    await expect(start(peers.source, peers.target, { createTarget: false }).done).rejects.toMatchObject({
      error,
      status,
      reason: `could not open ${side === 'source' ? peers.source.name : peers.target.name}`,
    });
  });

  it('says that it may not use a database', async () => {
    const source = httpPeer(`http://127.0.0.1:${app.port}/${newName()}/`);
    await filled(behind(source.name.split('/').at(-2)));
    await expect(start(source, here()).done).rejects.toMatchObject({
      status: 401,
      error: 'unauthorized',
      reason: `unauthorized to access or create database ${source.name}`,
    });
  });

  it.each<[string, ReplicationOptions, (n: number) => boolean]>([
    ['named documents', { docIds: ['doc1', 'doc7', 'nosuch'] }, (n) => n === 1 || n === 7],
    ['what a selector chooses', { selector: '{"even":true}' }, (n) => n % 2 === 0],
    ['nothing where nothing is chosen', { docIds: [] }, () => false],
  ])('brings %s', async (_name, options, chosen) => {
    const [source, target] = [await filled(behind()), here()];
    const { noChanges, checkpoint } = await start(source, target, options).done;
    const expected = Array.from({ length: 20 }, (_, n) => n).filter(chosen);
    expect(await idsOf(target)).toEqual(expected.map((n) => `doc${n}`).sort());
    expect(noChanges).toBe(expected.length === 0);
    expect(checkpoint === undefined).toBe(expected.length === 0);
  });

  it('begins where it is told to', async () => {
    const [source, target] = [await filled(behind(), 3), here()];
    const [, second] = await rowsOf(source);
    await start(source, target, { sinceSeq: second?.seq ?? 0 }).done;
    expect(await idsOf(target)).toEqual(['doc2']);
  });

  it('brings winners alone', async () => {
    const source = await filled(behind(), 2);
    await source.write([revision('doc1', [hash('0')])], never);
    const target = here();
    await start(source, target, { winningRevsOnly: true }).done;
    expect((await rowsOf(target)).map(({ revs }) => revs.length)).toEqual([1, 1]);
  });

  it('reads the next documents while the last ones are written, and no more than those', async () => {
    const [source, target] = [await filled(here()), here()];
    let [read, begun, written, most] = [0, 0, 0, 0];
    const counting = altered(source, {
      fetch: (wanted, signal) => {
        most = Math.max(most, ++read - written);
        return source.fetch(wanted, signal);
      },
    });
    const slow = altered(target, {
      write: async (documents, signal) => {
        const number = ++begun;
        // There is none behind the last one.
        if (number < 4) await until('the next batch is read', () => read > number);
        const failures = await target.write(documents, signal);
        written++;
        return failures;
      },
    });
    await start(counting, slow, {}, { tuning: { ...HASTY, workers: 1, batchSize: 5 } }).done;
    expect([read, written, most]).toEqual([4, 4, 2]);
    await expectSame(source, target);
  });

  it('leaves no checkpoints where it is not to', async () => {
    const [source, target] = [await filled(here()), here()];
    const { checkpoint } = await start(source, target, { useCheckpoints: false }).done;
    expect(checkpoint).toBeUndefined();
    expect([await logOf(source), await logOf(target)]).toEqual([undefined, undefined]);
  });

  it.each([404, 405, 400, 501])(
    'does without _bulk_get where a server answers it with %i',
    async (status) => {
      const source = await filled(behind());
      const attachments = [following('a', Buffer.from('bytes'))];
      await source.writeWithAttachments(
        { ...revision('with', [hash('a')], attachmentsMember(attachments)), attachments },
        never,
      );
      let asked = 0;
      proxy.faults = (_method, path) => {
        if (!path.includes('_bulk_get')) return undefined;
        asked++;
        return { kind: 'answer', status };
      };
      const target = here();
      await start(source, target).done;
      expect(asked).toBe(1);
      await expectSame(source, target);
      const other = here();
      await start(source, other, { useBulkGet: false }).done;
      expect(asked).toBe(1);
      await expectSame(source, other);
    },
  );

  it('passes over revisions that the source does not have any more', async () => {
    const [source, target] = [await filled(here(), 3), here()];
    const forgetful = altered(source, {
      changes: async (request, signal) => {
        const page = await source.changes(request, signal);
        const rows = page.rows.map((row) => ({ ...row, revs: [...row.revs, `9-${hash('9')}`] }));
        return { ...page, rows: [...rows, { id: 'purged', revs: [`1-${hash('8')}`], seq: page.lastSeq }] };
      },
    });
    await start(forgetful, target).done;
    await expectSame(source, target);
  });

  it('asks again for what a source forgot to answer', async () => {
    const [source, target] = [await filled(behind(), 3), here()];
    proxy.faults = (_method, path) =>
      path.includes('_bulk_get') ? { kind: 'answer', status: 200, body: '{"results":[]}' } : undefined;
    await start(source, target).done;
    await expectSame(source, target);
  });
});

describe('what a target refuses', () => {
  const forbidden = new CouchError(403, 'forbidden', 'not this one');

  /** A target that answers some documents so. */
  const refusing = (target: Peer, ids: readonly string[], error: CouchError): Peer =>
    altered(target, {
      write: async (documents, signal) => {
        const failures: WriteFailure[] = documents
          .filter(({ id }) => ids.includes(id))
          .map(({ id, rev }) => ({ id, rev, error }));
        const taken = documents.filter(({ id }) => !ids.includes(id));
        return [...failures, ...(await target.write(taken, signal))];
      },
    });

  it('is counted and told one by one, and does not hold up the rest', async () => {
    const [source, target] = [await filled(here()), here()];
    const refused: Refusal[] = [];
    const { checkpoint } = await start(
      source,
      refusing(target, ['doc3', 'doc7'], forbidden),
      {},
      {
        listener: { onRefused: (refusal) => void refused.push(refusal) },
      },
    ).done;
    expect(refused).toMatchObject([
      { id: 'doc3', rev: `1-${hashOf(3)}`, error: forbidden },
      { id: 'doc7', rev: `1-${hashOf(7)}`, error: forbidden },
    ]);
    expect(checkpoint?.history[0]).toMatchObject({ doc_write_failures: 2, docs_written: 18, docs_read: 20 });
    expect(await idsOf(target)).toHaveLength(18);
    expect((await start(source, target).done).noChanges).toBe(true);
  });

  it('is on record before a checkpoint passes it', async () => {
    const [source, target] = [await filled(here()), here()];
    let recorded: () => void = () => undefined;
    const recording = new Promise<void>((resolve) => (recorded = resolve));
    let isRefused = false;
    const running = start(
      source,
      refusing(target, ['doc3'], forbidden),
      {},
      {
        listener: {
          onRefused: () => {
            isRefused = true;
            return recording;
          },
        },
      },
    );
    await until('the refusal', () => isRefused);
    await until('the other documents', async () => (await idsOf(target)).length === 19);
    expect(await logOf(target)).toBeUndefined();
    recorded();
    await running.done;
    expect(await logOf(target)).toBeDefined();
  });

  it('ends the run where it cannot be recorded', async () => {
    const [source, target] = [await filled(here()), here()];
    const failure = new Error('the list cannot be written');
    const listener = { onRefused: () => Promise.reject(failure) };
    await expect(start(source, refusing(target, ['doc3'], forbidden), {}, { listener }).done).rejects.toBe(
      failure,
    );
    expect(await logOf(target)).toBeUndefined();
  });

  it('is told with what was to be written, and what was written is told, too', async () => {
    const [source, target] = [await filled(here(), 3), here()];
    const told: unknown[] = [];
    const listener: ReplicationSpec['listener'] = {
      onRefused: ({ id, text }) => void told.push([id, text?.includes('"n":1')]),
      onWritten: (documents) => void told.push(documents.map(({ id }) => id)),
    };
    await start(source, refusing(target, ['doc1'], forbidden), {}, { listener }).done;
    expect(told).toEqual([
      ['doc0', 'doc2'],
      ['doc1', true],
    ]);
  });

  it.each([400, 413])('is found where the whole request is answered with %i', async (status) => {
    const [source, target] = [await filled(here()), here()];
    const error = new CouchError(status, 'too_much', 'of something');
    const strict = altered(target, {
      write: (documents, signal) =>
        documents.some(({ id }) => id === 'doc11') ? Promise.reject(error) : target.write(documents, signal),
    });
    const refused: string[] = [];
    await start(source, strict, {}, { listener: { onRefused: ({ id }) => void refused.push(id) } }).done;
    expect(refused).toEqual(['doc11']);
    expect(await idsOf(target)).toHaveLength(19);
  });

  describe('by a partitioned database', () => {
    const mixed = async (): Promise<Peer> => {
      const source = await filled(here(), 300);
      await source.write(
        ['a:1', 'b:2', '_design/d', 'a:', ':1'].map((id) => revision(id, [hash(id.length.toString())])),
        never,
      );
      return source;
    };
    const partitioned = async (peer: Peer): Promise<Peer> => {
      const name = peer.name.split('/').at(-2) ?? '';
      await app.databases.create(name, { partitioned: true });
      return peer;
    };

    it.each(['here', 'behind HTTP'])('is told at once, and the others are written: %s', async (where) => {
      const source = await mixed();
      const target = await partitioned(where === 'here' ? here() : behind());
      let requests = 0;
      const counted = altered(target, {
        write: (documents, signal) => {
          requests++;
          return target.write(documents, signal);
        },
      });
      const refused: Refusal[] = [];
      const repeated: Error[] = [];
      const { checkpoint } = await start(
        source,
        counted,
        {},
        {
          listener: {
            onRefused: (refusal) => void refused.push(refusal),
            onRetry: (error) => void repeated.push(error),
          },
        },
      ).done;
      expect(await idsOf(target)).toEqual(['_design/d', 'a:1', 'b:2']);
      expect(refused).toHaveLength(302);
      expect(new Set(refused.map(({ id }) => id)).size).toBe(302);
      const reasonOf = (id: string) => refused.find((one) => one.id === id)?.error;
      expect(reasonOf('doc7')).toMatchObject({
        error: 'illegal_docid',
        reason: expect.stringContaining('partition:id') as string,
      });
      expect(reasonOf('a:')).toMatchObject({ error: 'illegal_docid' });
      expect(reasonOf(':1')).toMatchObject({ error: 'illegal_partition' });
      expect(repeated).toEqual([]);
      // Nobody is asked twice about the same document alone.
      expect(requests).toBeLessThan(where === 'here' ? 5 : 2 * 305);
      expect(checkpoint?.history[0]).toMatchObject({ doc_write_failures: 302, docs_written: 3 });
      expect((await start(source, target).done).noChanges).toBe(true);
    });
  });

  it('with its attachments is asked about twice, for the first no may have been the account’s', async () => {
    const [source, target] = [await filled(here(), 0), here()];
    const attachments = [following('a', Buffer.from('bytes'))];
    const document = revision('with', [hash('a')], attachmentsMember(attachments));
    await source.writeWithAttachments({ ...document, attachments }, never);
    let left = 1;
    const locked = altered(target, {
      writeWithAttachments: (one, signal) =>
        left-- > 0
          ? Promise.reject(new CouchError(401, 'unauthorized', 'who?'))
          : target.writeWithAttachments(one, signal),
    });
    const refused: string[] = [];
    await start(source, locked, {}, { listener: { onRefused: ({ id }) => void refused.push(id) } }).done;
    expect(refused).toEqual([]);
    await expectSame(source, target);
  });

  it('with its attachments counts their bytes while they are sent, and not those of a try that failed', async () => {
    const [source, target] = [await filled(here(), 0), here()];
    const length = 4 << 20;
    const attachments = [following('a', Buffer.alloc(length))];
    const document = revision('large', [hash('a')], attachmentsMember(attachments));
    await source.writeWithAttachments({ ...document, attachments }, never);
    const seen: number[] = [];
    const flaky = altered(target, {
      writeWithAttachments: async (one, signal) => {
        if (seen.length > 0) return target.writeWithAttachments(one, signal);
        for (const { body } of one.attachments)
          for await (const chunk of body()) if (chunk.length > 0) seen.push(running.progress.bytesWritten);
        throw new CouchError(503, 'unavailable', 'not now');
      },
    });
    const running = start(source, flaky);
    await running.done;
    expect(seen.length).toBeGreaterThan(1);
    expect(seen).toEqual(seen.toSorted((x, y) => x - y));
    expect(seen.at(-1)).toBe(length);
    const { bytesWritten } = running.progress;
    expect(bytesWritten).toBeGreaterThan(length);
    expect(bytesWritten).toBeLessThan(length + 1000);
  });

  it('is asked for again when its source has a connection left for that', async () => {
    const name = newName();
    const dispatcher = newAgent({ connections: 1 });
    onTestFinished(() => dispatcher.destroy());
    const source = httpPeer(`http://127.0.0.1:${app.port}/${name}/`, {
      headers: { 'x-test-user': 'admin' },
      dispatcher,
    });
    const inner = await filled(here(name), 1);
    const attachments = [following('a', Buffer.alloc(4 << 20))];
    const member = attachmentsMember(attachments);
    for (const branch of ['a', 'b'])
      await inner.writeWithAttachments({ ...revision('large', [hash(branch)], member), attachments }, never);
    const target = here();
    const refused: string[] = [];
    const listener = { onRefused: ({ id }: Refusal) => void refused.push(id) };
    const strict = altered(target, {
      writeWithAttachments: () => Promise.reject(new CouchError(403, 'forbidden', 'no')),
    });
    await start(source, strict, {}, { listener }).done;
    expect(refused).toEqual(['large', 'large']);
  });

  it('for no lasting reason is tried again, and everything else goes on', async () => {
    const [source, target] = [await filled(here()), here()];
    const odd = new CouchError(500, 'badmatch', 'something broke');
    let left = 2;
    const flaky = altered(target, {
      write: (documents, signal) =>
        (left-- > 0 ? refusing(target, ['doc3'], odd) : target).write(documents, signal),
    });
    const held: string[] = [];
    const { checkpoint } = await start(
      source,
      flaky,
      {},
      { listener: { onHeld: ({ id }) => void held.push(id) } },
    ).done;
    expect(held).toEqual(['doc3', 'doc3']);
    expect(checkpoint?.history[0]).toMatchObject({ doc_write_failures: 0, docs_written: 20 });
    await expectSame(source, target);
  });

  it('again and again for no lasting reason is never passed by a checkpoint', async () => {
    const [source, target] = [await filled(here()), here()];
    const odd = new CouchError(500, 'badmatch', 'something broke');
    const tuning = { ...HASTY, batchSize: 4, checkpointInterval: 1 };
    const running = start(source, refusing(target, ['doc9'], odd), {}, { tuning });
    await expect(running.done).rejects.toBe(odd);
    expect(await idsOf(target)).toHaveLength(19);
    await expectNoneAhead(source, target, ID);
    await start(source, target).done;
    await expectSame(source, target);
  });

  it('because of a stub is sent with its attachments', async () => {
    const [source, target] = [here(), here()];
    await source.create({}, never);
    const attachments = [following('a', Buffer.from('bytes'))];
    const first = revision('with', [hash('a')], attachmentsMember(attachments));
    await source.writeWithAttachments({ ...first, attachments }, never);
    const stub = '"_attachments":{"a":{"stub":true,"revpos":1}}';
    await source.write([revision('with', [hash('b'), hash('a')], stub)], never);
    await target.create({}, never);
    const mistaken = altered(target, {
      revsDiff: async (documents, signal) =>
        (await target.revsDiff(documents, signal)).map((one) => ({
          ...one,
          possibleAncestors: [`1-${hash('a')}`],
        })),
      info: async (signal) => ({ ...(await target.info(signal)), isEmpty: false }),
    });
    const held: unknown[] = [];
    await start(source, mistaken, {}, { listener: { onHeld: (one) => held.push(one) } }).done;
    expect(held).toEqual([]);
    await expectSame(source, target);
  });
});

it('passes nothing over that its target does not find', async () => {
  const [source, target] = [await filled(here(), 1), here()];
  const attachments = [following('a', Buffer.from('bytes'))];
  const document = revision('attached', [hash('a')], attachmentsMember(attachments));
  await source.writeWithAttachments({ ...document, attachments }, never);
  const missing = new CouchError(404, 'not_found', 'missing');
  const broken = altered(target, { writeWithAttachments: () => Promise.reject(missing) });
  await expect(start(source, broken).done).rejects.toBe(missing);
  await start(source, target).done;
  await expectSame(source, target);
});

it('writes nothing after the end of a run that failed', async () => {
  const [source, target] = [await filled(here(), 2), here()];
  const gone = new CouchError(404, 'not_found', 'no_db_file');
  let letGo: () => void = () => undefined;
  const released = new Promise<void>((resolve) => (letGo = resolve));
  let isWriting = false;
  let hasFailed = false;
  const slow = altered(target, {
    write: async (documents, signal) => {
      isWriting = true;
      await released;
      const failures = await target.write(documents, signal);
      isWriting = false;
      return failures;
    },
  });
  const broken = altered(source, {
    open: (wanted, signal) =>
      wanted.id === 'doc0'
        ? source.open(wanted, signal)
        : failing(
            gone,
            () => isWriting,
            () => (hasFailed = true),
          ),
  });
  let wasWriting: boolean | undefined;
  const { done } = start(broken, slow, { useBulkGet: false });
  const ended = done.catch((error: unknown) => {
    wasWriting = isWriting;
    return error;
  });
  await until('the other one has failed', () => hasFailed);
  // Time for that to end the run.
  for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve));
  letGo();
  expect(await ended).toBe(gone);
  expect(wasWriting).toBe(false);
});

/** Fails as soon as something else is under way. */
const failing = (error: Error, isUnderWay: () => boolean, fails: () => void): AsyncIterable<never> => ({
  [Symbol.asyncIterator]: () => ({
    next: async () => {
      await until('the other one is under way', isUnderWay);
      fails();
      throw error;
    },
  }),
});

it('brings nothing but the revisions that are named', async () => {
  const [source, target] = [await filled(here(), 3), await filled(here(), 1)];
  const revisions = [0, 1].map((n) => ({ id: `doc${n}`, revs: [`1-${hashOf(n)}`], seq: undefined }));
  await start(source, target, { useCheckpoints: false }, { revisions }).done;
  expect(await idsOf(target)).toEqual(['doc0', 'doc1']);
  expect(await logOf(target)).toBeUndefined();
});

describe('a continuous replication', () => {
  it('brings changes as they come, until it is cancelled, and goes on where it stopped', async () => {
    const [source, target] = [await filled(behind()), here()];
    const first = start(source, target, { continuous: true });
    await until('the first documents', async () => (await idsOf(target)).length === 20);
    await source.write([revision('later', [hash('a')])], never);
    await until('a later document', async () => (await idsOf(target)).length === 21);
    await first.cancel(new Error('enough'));
    await expect(first.done).rejects.toThrow('enough');
    expect(await logOf(target)).toMatchObject({ source_last_seq: first.progress.checkpointedSourceSeq });
    await source.write([revision('last', [hash('b')])], never);
    const second = start(source, target, { continuous: true });
    await until('the last document', async () => (await idsOf(target)).length === 22);
    await second.cancel();
    expect(second.progress.docsWritten).toBe(22);
    await expectSame(source, target);
  });

  it('notices that its source was made anew', async () => {
    const name = newName();
    const [source, target] = [await filled(behind(name)), here()];
    const running = start(source, target, { continuous: true });
    await until('a checkpoint', async () => (await logOf(target)) !== undefined);
    const ended = expect(running.done).rejects.toBeInstanceOf(Error);
    await app.databases.delete(name);
    await ended;
    await source.create({}, never);
    await source.write([revision('new', [hash('a')])], never);
    await start(source, target).done;
    expect(await idsOf(target)).toHaveLength(21);
  });
});

describe('checkpoints', () => {
  it('have a session each, so that a target that was put back is filled again', async () => {
    const [source, target] = [await filled(here(), 5), here()];
    await start(source, target).done;
    const old = await logOf(target);
    await source.write([revision('x', [hash('a')])], never);
    await start(source, target).done;
    // As after a restore from a copy: the document is gone, and the log is the older one.
    const restored = here();
    await restored.create({}, never);
    await restored.write(
      Array.from({ length: 5 }, (_, n) => plainDocument(n)),
      never,
    );
    const log = Object.entries(old ?? {}).filter(([name]) => !name.startsWith('_'));
    await restored.putLocal(`_local/${ID}`, Object.fromEntries(log), never);
    await start(source, restored).done;
    await expectSame(source, restored);
    const found = await logOf(restored);
    expect(found?.history).toHaveLength(2);
  });

  it('begin anew with a target that was made anew', async () => {
    const name = newName();
    const [source, target] = [await filled(here()), here(name)];
    await start(source, target).done;
    await app.databases.delete(name);
    await start(source, target).done;
    await expectSame(source, target);
  });

  it('begin anew with a source that was made anew', async () => {
    const name = newName();
    const [source, target] = [await filled(here(name)), here()];
    await start(source, target).done;
    await app.databases.delete(name);
    await source.create({}, never);
    await source.write([revision('new', [hash('a')])], never);
    await start(source, target).done;
    expect(await idsOf(target)).toHaveLength(21);
  });

  it('are not written for a target that was replaced meanwhile', async () => {
    const name = newName();
    const [source, target] = [await filled(here()), here(name)];
    let isReplaced = false;
    const replaced = altered(target, {
      ensureFullCommit: async (signal) => {
        if (!isReplaced) {
          isReplaced = true;
          await app.databases.delete(name);
          await app.databases.create(name);
        }
        return target.ensureFullCommit(signal);
      },
    });
    await expect(start(source, replaced).done).rejects.toMatchObject({ error: 'database_replaced' });
    expect(await logOf(target)).toBeUndefined();
    await start(source, target).done;
    await expectSame(source, target);
  });

  it.each(['source', 'target'] as const)(
    'do not stay on a %s that was replaced just before they were written there',
    async (side) => {
      const names = { source: newName(), target: newName() };
      const peers = { source: await filled(here(names.source)), target: here(names.target) };
      let isReplaced = false;
      const replaced = altered(peers[side], {
        putLocal: async (id, log, signal) => {
          if (!isReplaced) {
            isReplaced = true;
            await app.databases.delete(names[side]);
            await app.databases.create(names[side]);
          }
          return peers[side].putLocal(id, log, signal);
        },
      });
      const { done } = start(
        side === 'source' ? replaced : peers.source,
        side === 'target' ? replaced : peers.target,
        {},
        { tuning: { ...HASTY, checkpointInterval: 60_000 } },
      );
      await expect(done).rejects.toMatchObject({ error: 'database_replaced' });
      expect((await logOf(peers[side]))?.history).toEqual([]);
      if (side === 'source') await peers.source.write([revision('new', [hash('a')])], never);
      const { checkpoint } = await start(peers.source, peers.target).done;
      expect(checkpoint?.history).toHaveLength(1);
      expect(await idsOf(peers.target)).toHaveLength(side === 'source' ? 21 : 20);
    },
  );

  it('survive that somebody else writes them', async () => {
    const [source, target] = [await filled(behind()), behind()];
    const meddled = altered(target, {
      putLocal: async (id, log, signal) => {
        const { _rev, ...rest } = log;
        const rev = _rev ?? (await target.getLocal(id, signal))?._rev;
        return target.putLocal(id, rev === undefined ? rest : { ...rest, _rev: rev }, signal);
      },
    });
    await start(source, meddled).done;
    await source.write([revision('x', [hash('a')])], never);
    await start(source, meddled).done;
    expect((await logOf(target))?.history).toHaveLength(2);
  });
});
