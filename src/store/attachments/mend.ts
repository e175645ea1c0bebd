import type { ClassicLevel } from 'classic-level';
import { findLeaf } from '../conflicts/leaf-text.js';
import * as layout from '../layout.js';
import { pagesOf } from '../pages.js';
import { parseRecord } from '../record.js';
import { BYTES, EMPTY } from './chunks.js';
import { type Attachment, attachmentsMember, parseAttachments, splitAttachments } from './members.js';
import { ELSEWHERE, isElsewhere, journalLeafOf, parseRefs, refsText } from './refs-text.js';

/** Attachments looked at at a time. */
const PAGE = 100;

/**
 * PouchDB stores stubs as they are given, even without their lengths: those are put into the bodies that it wrote.
 * @returns the body with what it lacked; undefined where that is nothing
 */
export async function completeStubs(level: ClassicLevel, text: string): Promise<string | undefined> {
  const named = readNamed(text);
  if (named === undefined) return undefined;
  const attachments = new Map<string, Attachment>();
  let isChanged = false;
  for (const [name, one] of named.attachments) {
    const lacks = one.length === 0 && one.digest !== EMPTY;
    const bytes = lacks ? await level.get<string, Buffer>(layout.binaries.key(one.digest), BYTES) : undefined;
    attachments.set(name, bytes === undefined ? one : { ...one, length: bytes.length });
    isChanged ||= bytes !== undefined;
  }
  return isChanged ? `${named.before.slice(0, -1)},${attachmentsMember(attachments)}}` : undefined;
}

/** A body that is damaged stays as it is, and does not keep the others from being read. */
function readNamed(
  text: string,
): { before: string; attachments: ReadonlyMap<string, Attachment> } | undefined {
  try {
    const parts = splitAttachments(text);
    return parts && { before: parts.before, attachments: parseAttachments(parts) };
  } catch {
    return undefined;
  }
}

/** PouchDB does not know of compressed forms: when it drops a body, the revision stays among those that have them. */
export async function dropStrays(level: ClassicLevel): Promise<void> {
  const entries = level.iterator({ gte: layout.attachments.start, lt: layout.attachments.end });
  for await (const page of pagesOf(entries, PAGE)) {
    const batch = level.batch();
    for (const [key, text] of page) {
      const all = parseRefs(text) ?? [];
      const kept: string[] = [];
      for (const ref of all) if (await isKept(level, ref)) kept.push(ref);
      const digest = layout.attachments.strip(key);
      const ours = isElsewhere(text);
      if (!ours && kept.length === all.length) continue;
      const count = ours ? await moveRefs(level, digest, kept, (ref) => isKept(level, ref)) : kept.length;
      if (count === 0) batch.del(key).del(layout.binaries.key(digest));
      else batch.put(key, ours ? ELSEWHERE : refsText(kept));
    }
    await batch.write({ sync: false });
  }
}

/**
 * Puts revisions into the sublevel where the others that have an attachment are, and drops strays there.
 * @returns how many are left
 */
export async function moveRefs(
  level: ClassicLevel,
  digest: string,
  more: readonly string[],
  isOwner: (ref: string) => Promise<boolean>,
): Promise<number> {
  await level.batch(more.map((ref) => ({ type: 'put', key: layout.refKey(digest, ref), value: '' })));
  let count = 0;
  const keys = level.keys({ gt: layout.refKey(digest, ''), lt: layout.refsEnd(digest) });
  for await (const page of pagesOf(keys, PAGE)) {
    const batch = level.batch();
    for (const key of page) {
      if (await isOwner(key.slice(layout.refKey(digest, '').length))) count += 1;
      else batch.del(key);
    }
    await batch.write({ sync: false });
  }
  const key = layout.refs.key(digest);
  if (count === 0) await level.del(key);
  else await level.put(key, String(count));
  return count;
}

/** Whether the body of the revision is kept; either part of `id@rev` may have the sign in it. */
async function isKept(level: ClassicLevel, ref: string): Promise<boolean> {
  const leaf = journalLeafOf(ref);
  if (leaf !== undefined) return (await findLeaf(level, leaf)) !== undefined;
  for (let at = ref.lastIndexOf('@'); at > 0; at = ref.lastIndexOf('@', at - 1)) {
    const text = await level.get(layout.documents.key(ref.slice(0, at)));
    if (text !== undefined && parseRecord(text).bodySeqs.has(ref.slice(at + 1))) return true;
  }
  return false;
}
