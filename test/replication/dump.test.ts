import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFile, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { asStartError } from '../../src/commands/replicate/failures.js';
import { readEntries } from '../../src/replication/dump/entries.js';
import { DumpInUse } from '../../src/replication/dump/errors.js';
import { makeDump, openDump } from '../../src/replication/dump/file.js';
import { documentLine } from '../../src/replication/dump/format.js';
import { NewDumpSink } from '../../src/replication/dump/sink.js';
import { DumpSource } from '../../src/replication/dump/source.js';
import { DumpTarget } from '../../src/replication/dump/target.js';
import type { MissingRevisions, Peer, Source, Target } from '../../src/replication/peer.js';
import { startReplication } from '../../src/replication/run.js';
import type { Databases } from '../../src/store/databases.js';
import { HASTY, localPeer } from '../support/peers.js';
import '../support/seed.js';
import { newFolder, openDatabases } from '../support/store.js';
import { attachmentsMember, following, hash, revision } from './acceptance.js';
import { expectSame } from './replicas.js';

const never = new AbortController().signal;
const CANCELLED = new Error('cancelled');
const HEADER = { id: hash('d'), source: 'http://127.0.0.1/db/', replication: hash('e') };

/** Replicates; cancelled after so many signs of progress. */
async function replicate(source: Source, target: Target, cancelAfter = Infinity): Promise<void> {
  let left = cancelAfter;
  const running = startReplication({
    id: 'dumped',
    source,
    target,
    options: { createTarget: true },
    tuning: { ...HASTY, batchSize: 3, batchBytes: 300, workers: 3, checkpointInterval: 1 },
    listener: { onProgress: () => (left-- === 0 ? void running.cancel(CANCELLED) : undefined) },
  });
  await running.done.catch((error: unknown) => expect(error).toBe(CANCELLED));
}

/** Writes a dump, or goes on with it. */
async function write(source: Source, file: string, cancelAfter?: number): Promise<void> {
  const target = await DumpTarget.resume(await openDump(file, 'append'));
  try {
    await replicate(source, target, cancelAfter);
  } finally {
    await target.close();
  }
}

async function read(file: string, target: Peer, cancelAfter?: number): Promise<void> {
  const source = new DumpSource(await openDump(file, 'read'), target);
  try {
    await replicate(source, target, cancelAfter);
  } finally {
    await source.close();
  }
}

let count = 0;

/** A database with conflicts, deleted leaves and attachments. */
async function newSource(databases: Databases, documents = 12): Promise<Peer> {
  const source: Peer = localPeer(databases, `db${String(++count)}`);
  await source.create({}, never);
  for (let n = 0; n < documents; n++) {
    const id = `doc ${String(n)} "ä"`;
    const of = (text: string): string => createHash('md5').update(`${id}${text}`).digest('hex');
    const bytes = [Buffer.alloc(n * 97, of('x')), gzipSync(of('y').repeat(40))] as const;
    const attachments = [
      following('plain', bytes[0]),
      following('packed', bytes[1], 'text/plain', 'gzip'),
      following('none', Buffer.alloc(0)),
    ];
    const member = attachmentsMember(attachments, { packed: 32 * 40 }, 2);
    const leaf = revision(id, [of('b'), of('a')], `"n":${String(n)}${n % 3 === 0 ? `,${member}` : ''}`);
    if (n % 3 === 0) await source.writeWithAttachments({ ...leaf, attachments }, never);
    else await source.write([leaf], never);
    if (n % 4 === 0) await source.write([revision(id, [of('c'), of('a')], '"other":1.0')], never);
    if (n % 5 === 0)
      await source.write([revision(id, [of('d'), of('c'), of('a')], '"_deleted":true')], never);
  }
  return source;
}

test('a dump carries everything, however often writing and reading it is interrupted', async () => {
  const folder = await newFolder();
  const databases = await openDatabases(folder);
  const source = await newSource(databases);
  const cancels = fc.array(fc.nat(15), { maxLength: 3 });
  await fc.assert(
    fc.asyncProperty(cancels, cancels, async (writes, reads) => {
      const file = join(folder, `dump${String(++count)}`);
      await makeDump(file, HEADER);
      for (const cancelAfter of writes) await write(source, file, cancelAfter);
      await write(source, file);
      const target = localPeer(databases, `db${String(++count)}`);
      for (const cancelAfter of reads) await read(file, target, cancelAfter);
      await read(file, target);
      await expectSame(source, target);
    }),
    { numRuns: 6 },
  );
});

test('a dump that was cut at any byte has all that is whole, and is gone on with', async () => {
  const folder = await newFolder();
  const databases = await openDatabases(folder);
  const source = await newSource(databases);
  const whole = join(folder, 'whole');
  await makeDump(whole, HEADER);
  await write(source, whole, 8);
  await write(source, whole);
  const bytes = await readFile(whole);
  const start = bytes.indexOf('\n') + 1;
  const all = await endsOf(whole, start);
  const expected = (cut: number): readonly number[] => all.filter((end) => end <= cut);
  const file = join(folder, 'cut');
  const cutAt = fc.integer({ min: start, max: bytes.length });
  await fc.assert(
    fc.asyncProperty(cutAt, async (cut) => {
      await writeFile(file, bytes.subarray(0, cut));
      expect(await endsOf(file, start)).toEqual(expected(cut));
    }),
    { numRuns: 120 },
  );
  await fc.assert(
    fc.asyncProperty(cutAt, async (cut) => {
      await writeFile(file, bytes.subarray(0, cut));
      await write(source, file);
      const [kept = start] = expected(cut).slice(-1);
      expect((await readFile(file)).subarray(0, kept).equals(bytes.subarray(0, kept))).toBe(true);
      const target = localPeer(databases, `db${String(++count)}`);
      await read(file, target);
      await expectSame(source, target);
    }),
    { numRuns: 4 },
  );
});

/** Where the entries of a dump end. */
async function endsOf(file: string, from: number): Promise<readonly number[]> {
  const handle = await open(file);
  try {
    const ends: number[] = [];
    for await (const entries of readEntries(handle, from)) ends.push(...entries.map(({ end }) => end));
    return ends;
  } finally {
    await handle.close();
  }
}

test('what was broken off and written again is read once, and attachments in pieces are whole', async () => {
  const folder = await newFolder();
  const databases = await openDatabases(folder);
  const file = join(folder, 'dump');
  await makeDump(file, HEADER);
  const dump = await DumpTarget.resume(await openDump(file, 'append'));
  const bytes = Buffer.alloc(2_000_000, 'abcdefg');
  const [good, bad] = [following('f', bytes), { ...following('f', bytes.subarray(1)), length: bytes.length }];
  const document = revision('a', [hash('a')], attachmentsMember([good]));
  await expect(dump.writeWithAttachments({ ...document, attachments: [bad] })).rejects.toThrow(
    'an attachment of 2000000 bytes has 1999999',
  );
  await dump.writeWithAttachments({ ...document, attachments: [good] });
  const odd = `{"10":1,\n "__proto__":{},"2":1.0,"_rev":"1-${hash('b')}","_id":"b"}`;
  await dump.write([{ id: 'b', rev: `1-${hash('b')}`, text: odd }]);
  const stub = revision('c', [hash('c')], '"_attachments":{"x":{"stub":true,"revpos":1}}');
  expect(await dump.write([stub])).toMatchObject([{ id: 'c', error: { status: 412 } }]);
  await expect(dump.writeWithAttachments({ ...stub, attachments: [] })).rejects.toMatchObject({
    status: 412,
  });
  await dump.complete();
  await dump.close();
  const lines = (await readFile(file, 'utf8')).split('\n');
  expect(lines.filter((line) => line.startsWith('{"_id":"b"'))).toEqual([
    `{"_id":"b","10":1,"__proto__":{},"2":1.0,"_rev":"1-${hash('b')}"}`,
  ]);
  expect(lines.at(-2)).toMatch(/^\{"complete":/);

  const target: Peer = localPeer(databases, 'db');
  const source = new DumpSource(await openDump(file, 'read'), target);
  expect(await source.isComplete()).toBe(true);
  const page = await source.changes(
    { since: 0, limit: 10, seqInterval: 1, style: 'all_docs', wait: false },
    never,
  );
  expect(page.rows.map(({ id }) => id)).toEqual(['a', 'b']);
  const wanted: MissingRevisions[] = [
    { id: 'b', missing: [`1-${hash('b')}`, `1-${hash('c')}`], possibleAncestors: [] },
    { id: 'a', missing: [`1-${hash('a')}`], possibleAncestors: [] },
  ];
  // One that was never shown has to be looked for.
  const other = new DumpSource(await openDump(file, 'read'), target);
  const kinds: string[] = [];
  for await (const found of other.fetch(wanted, never)) kinds.push(...found.map(({ kind }) => kind));
  expect(kinds).toEqual(['missing', 'apart', 'document']);
  await other.close();
  await replicate(source, target);
  for await (const opened of target.open(
    { id: 'a', missing: [`1-${hash('a')}`], possibleAncestors: [] },
    never,
  )) {
    if (opened.kind === 'missing') throw new Error('the attachment is missing');
    const chunks: Buffer[] = [];
    for (const { body } of opened.document.attachments) for await (const chunk of body()) chunks.push(chunk);
    expect(Buffer.concat(chunks).equals(bytes)).toBe(true);
  }
  await source.close();
});

test('a dump says at its end that it is complete, whatever kept it from saying so, and whatever came after', async () => {
  const databases = await openDatabases(await newFolder());
  const file = join(await newFolder(), 'dump');
  await makeDump(file, HEADER);
  await write(await newSource(databases), file);
  const isCompleteAfter = async (work: (target: DumpTarget) => Promise<unknown>): Promise<boolean> => {
    const target = await DumpTarget.resume(await openDump(file, 'append'));
    await work(target);
    await target.complete();
    await target.close();
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
    return lines.at(-1)?.startsWith('{"complete":') === true;
  };
  // Killed behind the last checkpoint.
  expect(await isCompleteAfter(() => Promise.resolve())).toBe(true);
  const { length } = await readFile(file);
  expect(await isCompleteAfter(() => Promise.resolve())).toBe(true);
  expect(await readFile(file)).toHaveLength(length);
  // Nothing was written, but the source is further.
  expect(await isCompleteAfter((target) => target.putLocal('_local/other', {}))).toBe(true);
});

test('a copy that shares its file with another one, or loses it, ends', async () => {
  const file = join(await newFolder(), 'dump');
  const [first, second, late] = Array.from({ length: 3 }, () => new NewDumpSink(file, HEADER));
  try {
    await first?.append(documentLine(revision('a', [hash('a')])));
    await expect(second?.append('{}\n')).rejects.toThrow(DumpInUse);
    await rm(file);
    await late?.append('{}\n');
    await expect(first?.append('{}\n')).rejects.toThrow(DumpInUse);
    await appendFile(file, '{}\n');
    await expect(late?.append('{}\n')).rejects.toThrow(DumpInUse);
    expect(asStartError(new DumpInUse(), file)).toMatchObject({ exitCode: 75 });
  } finally {
    for (const sink of [first, second, late]) await sink?.close();
  }
});

test('files that are no dumps, and damaged ones, are told apart', async () => {
  const folder = await newFolder();
  const file = join(folder, 'dump');
  for (const text of ['', 'a,b\n1,2\n', '[{"_id":"a"}]\n', '{"causeway_dump":2,"id":"x"}\n']) {
    await writeFile(file, text);
    await expect(openDump(file, 'read')).rejects.toThrow('is no dump that this version reads');
  }
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  await expect(openDump(pipe, 'read')).rejects.toThrow('is no file');
  await makeDump(file, HEADER);
  const good = await readFile(file, 'utf8');
  await writeFile(file, `${good}{"_id":"a","_rev":"1-a"}\n{"attachment":"x","data":"YQ=="}\n`);
  await expect(endsOf(file, good.length)).rejects.toThrow(
    `the dump is damaged at byte ${String(good.length + 25)}: an attachment that is not to come here`,
  );
  await writeFile(file, `${good}{"_id":"a","_rev":"1-a"}\n{"_id":\n`);
  await expect(endsOf(file, good.length)).rejects.toThrow('a line is not what it should be');
});
