import { randomBytes, randomUUID } from 'node:crypto';
import { open, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { syncFolder } from '../config/files.js';
import { BYTES, parseChunked } from './attachments/chunks.js';
import { LevelAttachments } from './attachments/content.js';
import { parseRefs, isElsewhere, journalLeafOf, refsText } from './attachments/refs-text.js';
import * as layout from './layout.js';
import { lastSequence, readPouchMarks } from './opening.js';
import { pagesOf } from './pages.js';
import { isLivingText } from './record.js';
import { parseState, STATE } from './state.js';
import { ownersElsewhere } from './verify/owners.js';
import { withView } from './verify/view.js';

/** Entries copied at a time, or fewer where they are large. */
const PAGE = 1000;

/** What PouchDB keeps of a database, and reads as we write it. */
const PARTS = [layout.documents, layout.bodies, layout.locals];

/**
 * Writes a copy of a database that nobody has open, which PouchDB opens and reads completely: without our indexes and
 * settings, and with large attachments as PouchDB has them. One attachment is in memory at a time.
 * @param target must not exist; it does as soon as the copy is complete and on the disk, and not before
 * @param progress is told how many entries were copied
 */
export async function copyToPouch(
  folder: string,
  target: string,
  progress: (entries: number) => void,
): Promise<void> {
  const draft = join(dirname(target), `.partial-${randomBytes(8).toString('hex')}`);
  try {
    await withView(folder, async (from) => {
      const to = new ClassicLevel<string, Buffer>(draft, { ...BYTES, errorIfExists: true });
      await to.open();
      try {
        const copied = await copyParts(from, to, progress);
        await copyAttachments(from, to, (done) => {
          progress(copied + done);
        });
        await putMeta(from, to);
      } finally {
        await to.close();
      }
    });
    await syncFiles(draft);
    await rename(draft, target);
    await syncFolder(dirname(target));
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    throw error;
  }
}

async function copyParts(
  from: ClassicLevel,
  to: ClassicLevel<string, Buffer>,
  progress: (entries: number) => void,
): Promise<number> {
  let done = 0;
  for (const { start, end } of PARTS) {
    const entries = from.iterator<string, Buffer>({
      ...BYTES,
      gte: start,
      lt: end,
      highWaterMarkBytes: 1 << 20,
    });
    for await (const page of pagesOf(entries, PAGE)) {
      const batch = to.batch();
      for (const [key, value] of page) batch.put(key, value);
      await batch.write();
      progress((done += page.length));
    }
  }
  return done;
}

/** Those that revisions have: what was only about to be given to a document stays behind. */
async function copyAttachments(
  from: ClassicLevel,
  to: ClassicLevel<string, Buffer>,
  progress: (entries: number) => void,
): Promise<void> {
  let done = 0;
  const reader = new LevelAttachments(from);
  try {
    const entries = from.iterator({ gte: layout.attachments.start, lt: layout.attachments.end });
    for await (const page of pagesOf(entries, PAGE)) {
      for (const [key, text] of page) {
        const digest = layout.attachments.strip(key);
        const refs = await refsOf(from, digest, text);
        // Only the journal has it.
        if (refs === undefined) continue;
        const bytes = await bytesOf(from, reader, digest);
        const batch = to.batch().put(key, Buffer.from(refs));
        if (bytes !== undefined) batch.put(layout.binaries.key(digest), bytes);
        await batch.write();
        progress(++done);
      }
    }
  } finally {
    await reader.close();
  }
}

/** Puts the chunks of a large attachment together. @returns undefined where there are no bytes */
async function bytesOf(
  from: ClassicLevel,
  reader: LevelAttachments,
  digest: string,
): Promise<Buffer | undefined> {
  const text = await from.get(layout.chunked.key(digest));
  if (text === undefined) return from.get<string, Buffer>(layout.binaries.key(digest), BYTES);
  const bytes = Buffer.alloc(parseChunked(text).length);
  let at = 0;
  for await (const piece of reader.read(digest, { start: 0, end: bytes.length })) at += piece.copy(bytes, at);
  return bytes;
}

/** PouchDB has all revisions of an attachment in one entry, however many there are. @returns undefined where there are none */
async function refsOf(from: ClassicLevel, digest: string, text: string): Promise<string | undefined> {
  const known = parseRefs(text);
  if (known === undefined) return text;
  const refs = new Set(known);
  if (isElsewhere(text))
    for await (const page of ownersElsewhere(from, digest)) for (const ref of page) refs.add(ref);
  const revisions = [...refs].filter((ref) => journalLeafOf(ref) === undefined);
  return revisions.length === 0 ? undefined : refsText(revisions);
}

/** The copy goes its own way: with the uuid of the database, replicators would take its sequences for the database's. */
async function putMeta(from: ClassicLevel, to: ClassicLevel<string, Buffer>): Promise<void> {
  const state = parseState(await from.get(layout.meta.key(STATE)));
  let docCount = 0;
  const texts = from.values({
    gte: layout.documents.start,
    lt: layout.documents.end,
    highWaterMarkBytes: 1 << 20,
  });
  for await (const page of pagesOf(texts, PAGE)) docCount += page.filter(isLivingText).length;
  const batch = to.batch();
  const put = (key: string, value: unknown): unknown =>
    batch.put(layout.pouchMeta.key(key), Buffer.from(JSON.stringify(value)));
  put(layout.POUCH_UPDATE_SEQ, await lastSequence(from, state, await readPouchMarks(from)));
  put(layout.POUCH_DOC_COUNT, docCount);
  put(layout.POUCH_UUID, randomUUID());
  await batch.write({ sync: true });
}

/** LevelDB syncs no log but the last. */
async function syncFiles(folder: string): Promise<void> {
  for (const file of await readdir(folder)) {
    const handle = await open(join(folder, file), 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
  await syncFolder(folder);
}
