import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import type { ClassicLevel } from 'classic-level';
import { BYTES, CHUNK_SIZE, EMPTY, readChunked } from '../attachments/chunks.js';
import { LevelAttachments } from '../attachments/content.js';
import * as layout from '../layout.js';
import { pagesOf } from '../pages.js';
import { type Context, READING, REMEMBERED } from './context.js';
import type { Marks } from './marks.js';
import { type NamedOwners, ownersElsewhere, readOwners } from './owners.js';

/** What is known of stored attachments once their bytes were read. */
export interface CheckedForms {
  /** Bytes by digest, as far as so many fit into memory. */
  readonly lengths: ReadonlyMap<string, number>;
  /** Digest → in words what is wrong with the bytes. */
  readonly damaged: ReadonlyMap<string, string>;
  /** How many revisions are said to have some attachment. */
  readonly owners: number;
}

/** Reads the bytes of every attachment, and compares them with their digest. */
export async function checkForms(context: Context): Promise<CheckedForms> {
  const { level, report, recount } = context;
  const lengths = new Map<string, number>();
  const damaged = new Map<string, string>();
  let owners = 0;
  const entries = level.iterator({ ...READING, gte: layout.attachments.start, lt: layout.attachments.end });
  for await (const page of pagesOf(entries, 100)) {
    for (const [key, text] of page) {
      const digest = layout.attachments.strip(key);
      const named = readOwners(text);
      if (named === 'damaged')
        report({ code: 'attachment_refs', problem: `the entry of ${digest} cannot be read` });
      else if (named === 'unknown') recount.hasUnknownOwners = true;
      else owners += await countOwners(context, digest, named);
      recount.attachments++;
      const checked = await checkForm(level, digest);
      if (typeof checked === 'string') damaged.set(digest, checked);
      if (typeof checked !== 'number') continue;
      recount.attachmentBytes += checked;
      if (lengths.size < REMEMBERED) lengths.set(digest, checked);
      context.progress('attachments', recount.attachments);
    }
  }
  return { lengths, damaged, owners };
}

/** Counts the revisions that are said to have an attachment; where they are many their number is stored, too. */
async function countOwners(
  { level, report }: Context,
  digest: string,
  { named, elsewhere }: NamedOwners,
): Promise<number> {
  if (!elsewhere) return named.size;
  let count = 0;
  for await (const page of ownersElsewhere(level, digest)) count += page.length;
  const noted = await level.get(layout.refs.key(digest));
  if (noted !== String(count)) {
    const problem = `${String(count)} revisions are said to have ${digest}, but ${noted ?? 'none'} are counted`;
    report({ code: 'attachment_refs', problem });
  }
  // PouchDB adds to the entry; until the next start those may stand in both.
  const both = await level.hasMany(Array.from(named, (ref) => layout.refKey(digest, ref)));
  return count + both.filter((isBoth) => !isBoth).length;
}

/** @returns how many bytes there are, undefined where there are none, or in words what is wrong with them */
async function checkForm(level: ClassicLevel, digest: string): Promise<number | string | undefined> {
  const text = await level.get(layout.chunked.key(digest));
  if (text !== undefined) return checkChunks(level, digest, text);
  if (digest === EMPTY) return 0;
  const bytes = await level.get<string, Buffer>(layout.binaries.key(digest), BYTES);
  if (bytes === undefined) return undefined;
  const actual = `md5-${createHash('md5').update(bytes).digest('base64')}`;
  return actual === digest ? bytes.length : misfit(digest, actual);
}

async function checkChunks(level: ClassicLevel, digest: string, text: string): Promise<number | string> {
  const entry = readChunked(text);
  if (entry === undefined) return `where the chunks of ${digest} are cannot be read`;
  const md5 = createHash('md5');
  let length = 0;
  let index = 0;
  const range = { gte: layout.chunks.key(`${entry.upload}/`), lt: layout.chunks.key(`${entry.upload}0`) };
  const chunks = level.iterator<string, Buffer>({ ...READING, ...BYTES, ...range });
  for await (const page of pagesOf(chunks, 16)) {
    for (const [key, bytes] of page) {
      if (key !== layout.chunkKey(entry.upload, index) || length !== index * CHUNK_SIZE)
        return `chunk ${String(index)} of ${digest} is missing or too short`;
      md5.update(bytes);
      length += bytes.length;
      index++;
    }
  }
  if (length !== entry.length)
    return `${digest} has ${String(length)} bytes in chunks, not ${String(entry.length)}`;
  const actual = `md5-${md5.digest('base64')}`;
  return actual === digest ? length : misfit(digest, actual);
}

const misfit = (digest: string, actual: string): string => `the bytes of ${digest} have the digest ${actual}`;

/** How many bytes of an attachment are stored; undefined where there are none. */
export async function lengthOf(level: ClassicLevel, digest: string): Promise<number | undefined> {
  const text = await level.get(layout.chunked.key(digest));
  if (text !== undefined) return readChunked(text)?.length;
  if (digest === EMPTY) return 0;
  return (await level.get<string, Buffer>(layout.binaries.key(digest), BYTES))?.length;
}

/** @returns in words why the compressed form does not unpack to the plain one */
export async function checkEncoding(
  level: ClassicLevel,
  digest: string,
  encoded: { readonly digest: string; readonly length: number },
): Promise<string | undefined> {
  const md5 = createHash('md5');
  const reader = new LevelAttachments(level);
  try {
    const packed = reader.read(encoded.digest, { start: 0, end: encoded.length });
    await pipeline(Readable.from(packed), createGunzip(), md5);
  } catch (error) {
    return `its compressed form cannot be unpacked: ${(error as Error).message}`;
  } finally {
    await reader.close();
  }
  const actual = `md5-${(md5.read() as Buffer).toString('base64')}`;
  return actual === digest ? undefined : `its compressed form unpacks to other bytes`;
}

/** Chunks have to belong to one attachment, or be marked as nobody's. */
export async function checkUploads({ level, report, recount }: Context, marks: Marks): Promise<void> {
  const owned = new Set<string>();
  let isWhole = true;
  const index = level.iterator({ ...READING, gte: layout.chunked.start, lt: layout.chunked.end });
  for await (const page of pagesOf(index, 1000)) {
    for (const [, text] of page) {
      const upload = readChunked(text)?.upload;
      if (upload === undefined) isWhole = false;
      else owned.add(upload);
      recount.chunked++;
    }
  }
  for await (const upload of uploadsWithChunks(level)) {
    // Where an entry cannot be read any chunks may be its.
    if (owned.has(upload) || marks.all.has(upload) || !isWhole) continue;
    report({ code: 'attachment_stray', problem: `the chunks of upload ${upload} belong to no attachment` });
  }
  for (const [mark, digests] of marks.all) {
    const problem = `upload ${mark} is marked as under way`;
    if (digests === 'damaged')
      report({ code: 'upload_damaged', problem: `what the mark of upload ${mark} says cannot be read` });
    else if (owned.has(mark))
      report({ code: 'upload_marked', problem: `${problem}, but belongs to an attachment` });
    else report({ code: 'upload_unfinished', problem });
  }
}

/** The uploads that have chunks, each once: it goes on behind the last chunk of each. */
export async function* uploadsWithChunks(level: ClassicLevel): AsyncGenerator<string> {
  for (let from = layout.chunks.start; ;) {
    const [key] = await level.keys({ gte: from, lt: layout.chunks.end, limit: 1 }).all();
    if (key === undefined) return;
    const [upload = ''] = layout.chunks.strip(key).split('/');
    yield upload;
    from = layout.chunks.key(`${upload}0`);
  }
}
