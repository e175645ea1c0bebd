import type { ClassicLevel } from 'classic-level';
import { readableAttachments } from '../attachments/members.js';
import { isElsewhere, journalLeafOf, parseRefs } from '../attachments/refs-text.js';
import { findLeaf } from '../conflicts/leaf-text.js';
import * as layout from '../layout.js';
import { pagesOf } from '../pages.js';
import { parseObject, READING, readableRecord } from './context.js';

/** Which revisions have an attachment, `id@rev`; `unknown` where a database of long ago does not say. */
export type Owners = NamedOwners | 'unknown' | 'damaged';

export interface NamedOwners {
  /** Those that the entry of the attachment names. */
  readonly named: ReadonlySet<string>;
  /** Whether others are, one by one, in our sublevel: there are very many. */
  readonly elsewhere: boolean;
}

/** Reads what is stored under a digest. */
export function readOwners(text: string): Owners {
  const entry = parseObject(text);
  if (entry === undefined) return 'damaged';
  const { refs } = entry;
  if (refs === undefined) return 'unknown';
  if (typeof refs !== 'object' || refs === null) return 'damaged';
  return { named: new Set(parseRefs(text)), elsewhere: isElsewhere(text) };
}

/** The revisions that stand one by one in our sublevel. */
export async function* ownersElsewhere(
  level: ClassicLevel,
  digest: string,
): AsyncGenerator<readonly string[]> {
  const start = layout.refKey(digest, '');
  const keys = level.keys({ ...READING, gt: start, lt: layout.refsEnd(digest) });
  for await (const page of pagesOf(keys, 1000)) yield page.map((key) => key.slice(start.length));
}

/** Characters of a digest: `md5-`, and base64. */
const DIGEST = 28;

/** The digests of which something stands in our sublevel, each once: it goes on behind the last entry of each. */
export async function* digestsElsewhere(level: ClassicLevel): AsyncGenerator<string> {
  for (let from = layout.refs.start; ;) {
    const [full] = await level.keys({ gte: from, lt: layout.refs.end, limit: 1 }).all();
    if (full === undefined) return;
    const key = layout.refs.strip(full);
    const isEntry = key.length <= DIGEST || key[DIGEST] === '/';
    const digest = isEntry ? key.slice(0, DIGEST) : key;
    yield digest;
    from = layout.refsEnd(digest);
  }
}

/**
 * Whether a revision has the attachment in one of its forms; either part of `id@rev` may have the sign in it. What
 * cannot be read may have it.
 */
export async function isOwner(level: ClassicLevel, owner: string, digest: string): Promise<boolean> {
  const leaf = journalLeafOf(owner);
  if (leaf !== undefined) {
    const found = await findLeaf(level, leaf);
    return found === 'damaged' || (found !== undefined && names(found.text, digest));
  }
  for (let at = owner.lastIndexOf('@'); at > 0; at = owner.lastIndexOf('@', at - 1)) {
    const stored = await level.get(layout.documents.key(owner.slice(0, at)));
    if (stored === undefined) continue;
    const record = readableRecord(stored);
    if (record === undefined) return true;
    const seq = record.bodySeqs.get(owner.slice(at + 1));
    if (seq === undefined) continue;
    const text = await level.get(layout.bodies.key(layout.seqKey(seq)));
    if (text === undefined || names(text, digest)) return true;
  }
  return false;
}

function names(text: string, digest: string): boolean {
  const attachments = readableAttachments(text);
  if (attachments === undefined) return true;
  return [...attachments.values()].some((one) => one.digest === digest || one.encoded?.digest === digest);
}
