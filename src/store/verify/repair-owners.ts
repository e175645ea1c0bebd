import type { ClassicLevel } from 'classic-level';
import { readChunked } from '../attachments/chunks.js';
import { readableAttachments } from '../attachments/members.js';
import { moveRefs } from '../attachments/mend.js';
import { ELSEWHERE, isLong, journalOwner, refsText } from '../attachments/refs-text.js';
import { numberOfLeavesKey } from '../conflicts/journal-entry.js';
import { leavesIn } from '../conflicts/leaf-text.js';
import * as layout from '../layout.js';
import { pagesOf } from '../pages.js';
import { uploadsWithChunks } from './attachment-bytes.js';
import { PAGE, parseObject, READING, readableRecord } from './context.js';
import { readMarks } from './marks.js';
import { digestsElsewhere, isOwner, readOwners } from './owners.js';

/** Makes the entries that say which revisions have an attachment from the bodies, and removes bytes that nobody has. */
export async function repairOwners(level: ClassicLevel): Promise<void> {
  await joinElsewhere(level);
  const isWhole = [await addOwners(level), await addJournalOwners(level)].every(Boolean);
  await removeOwners(level);
  // What cannot be read may have attachments that nothing else tells of.
  if (isWhole) await removeUnnamed(level);
  await dropDamagedMarks(level);
  await markUploads(level);
}

/** Where revisions stand one by one, the entry of their attachment has to say so; where it names them itself, they go. */
async function joinElsewhere(level: ClassicLevel): Promise<void> {
  for await (const digest of digestsElsewhere(level)) {
    const key = layout.attachments.key(digest);
    const text = await level.get(key);
    const owners = text === undefined ? 'damaged' : readOwners(text);
    if (owners === 'damaged') await level.put(key, ELSEWHERE);
    else if (owners === 'unknown' || !owners.elsewhere)
      await level.clear({ gte: layout.refs.key(digest), lt: layout.refsEnd(digest) });
  }
}

/** Enters every revision that has an attachment. @returns whether all bodies could be read */
async function addOwners(level: ClassicLevel): Promise<boolean> {
  let isWhole = true;
  const texts = level.values({ ...READING, gte: layout.bodies.start, lt: layout.bodies.end });
  for await (const page of pagesOf(texts, PAGE)) {
    const wanted = new Map<string, Set<string>>();
    for (const text of page) {
      const { _id: id, _rev: rev } = parseObject(text) ?? {};
      const digests = digestsOf(text);
      if (typeof id !== 'string' || typeof rev !== 'string' || digests === undefined) {
        isWhole = false;
        continue;
      }
      if (digests.length === 0) continue;
      const stored = await level.get(layout.documents.key(id));
      const record = readableRecord(stored);
      if (stored !== undefined && record === undefined) isWhole = false;
      if (record?.bodySeqs.has(rev) !== true) continue;
      for (const digest of digests) wanted.set(digest, (wanted.get(digest) ?? new Set()).add(`${id}@${rev}`));
    }
    for (const [digest, owners] of wanted) await addTo(level, digest, owners);
  }
  return isWhole;
}

/** The same of leaves that the journal has. */
async function addJournalOwners(level: ClassicLevel): Promise<boolean> {
  let isWhole = true;
  const entries = level.iterator({
    ...READING,
    gte: layout.journalLeaves.start,
    lt: layout.journalLeaves.end,
  });
  for await (const page of pagesOf(entries, PAGE)) {
    for (const [key, stored] of page) {
      const owner = (rev: string): string => journalOwner(numberOfLeavesKey(key), rev);
      const leaves = leavesIn(stored);
      isWhole &&= leaves.length > 0;
      for (const { rev, text } of leaves) {
        const digests = digestsOf(text);
        isWhole &&= digests !== undefined;
        for (const digest of digests ?? []) await addTo(level, digest, new Set([owner(rev)]));
      }
    }
  }
  return isWhole;
}

function digestsOf(text: string): string[] | undefined {
  const attachments = readableAttachments(text);
  return (
    attachments &&
    [...attachments.values()].flatMap(({ digest, encoded }) =>
      encoded === undefined ? [digest] : [digest, encoded.digest],
    )
  );
}

async function addTo(level: ClassicLevel, digest: string, owners: ReadonlySet<string>): Promise<void> {
  const key = layout.attachments.key(digest);
  const text = await level.get(key);
  const known = text === undefined ? 'damaged' : readOwners(text);
  if (known === 'unknown') return;
  const named = known === 'damaged' ? [] : known.named;
  const all = new Set([...named, ...owners]);
  if (known !== 'damaged' && all.size === known.named.size) return;
  const after = refsText(all);
  if (!isLong(after) && (known === 'damaged' || !known.elsewhere)) {
    await level.put(key, after);
    return;
  }
  // They are counted when those that have it not are taken out.
  const batch = level.batch().put(key, ELSEWHERE);
  for (const ref of all) batch.put(layout.refKey(digest, ref), '');
  await batch.write();
}

/** Takes out the revisions that have not what they are said to have. */
async function removeOwners(level: ClassicLevel): Promise<void> {
  const entries = level.iterator({ ...READING, gte: layout.attachments.start, lt: layout.attachments.end });
  for await (const page of pagesOf(entries, PAGE)) {
    for (const [key, text] of page) {
      const owners = readOwners(text);
      if (typeof owners === 'string') continue;
      const digest = layout.attachments.strip(key);
      const isRight = (ref: string): Promise<boolean> => isOwner(level, ref, digest);
      if (owners.elsewhere) {
        const count = await moveRefs(level, digest, [...owners.named], isRight);
        await (count === 0 ? level.del(key) : level.put(key, ELSEWHERE));
        continue;
      }
      const kept: string[] = [];
      for (const owner of owners.named) if (await isRight(owner)) kept.push(owner);
      if (kept.length === 0) await level.del(key);
      else if (kept.length < owners.named.size) await level.put(key, refsText(kept));
    }
  }
}

/** Removes bytes of attachments that no revision has. */
async function removeUnnamed(level: ClassicLevel): Promise<void> {
  for (const sublevel of [layout.binaries, layout.chunked]) {
    const keys = level.keys({ ...READING, gte: sublevel.start, lt: sublevel.end });
    for await (const page of pagesOf(keys, 1000)) {
      for (const key of page) {
        if (!(await level.has(layout.attachments.key(sublevel.strip(key))))) await level.del(key);
      }
    }
  }
}

/** What they stood for was removed if no revision has it. */
async function dropDamagedMarks(level: ClassicLevel): Promise<void> {
  const { all } = await readMarks(level);
  for (const [mark, marked] of all) if (marked === 'damaged') await level.del(layout.uploads.key(mark));
}

/** Marks the chunks that belong to no attachment, and no others: they are removed when the database is opened. */
async function markUploads(level: ClassicLevel): Promise<void> {
  const owned = new Set<string>();
  const texts = level.values({ ...READING, gte: layout.chunked.start, lt: layout.chunked.end });
  for await (const page of pagesOf(texts, 1000)) {
    for (const text of page) {
      const upload = readChunked(text)?.upload;
      // Its chunks may be any.
      if (upload === undefined) return;
      owned.add(upload);
    }
  }
  for await (const upload of uploadsWithChunks(level)) {
    const mark = layout.uploads.key(upload);
    await (owned.has(upload) ? level.del(mark) : level.put(mark, ''));
  }
}
