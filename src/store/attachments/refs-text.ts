/**
 * Which revisions have an attachment, as PouchDB stores it: `{"refs":{"id@rev":true}}`. Where there are very many, each
 * write of one more would write all of them again: then they stand in a sublevel of ours, and PouchDB is told of a
 * revision that there is not. It never removes that, and so keeps the bytes.
 */

import { parseSeqKey, seqKey } from '../layout.js';

const OPEN = '{"refs":{';
const CLOSE = '}}';

/** No revision's: those have an `@` in them. */
const OURS = 'causeway';

/** So begins who has an attachment for the journal: ids of documents do not. PouchDB never removes it. */
const JOURNAL = '_journal/';

/** A leaf that an entry of the journal keeps, as one that has an attachment. */
export const journalOwner = (number: number, rev: string): string => `${JOURNAL}${seqKey(number)}/${rev}`;

/** Number of the entry and revision of such a leaf; undefined for a revision of a document. */
export function journalLeafOf(owner: string): { readonly number: number; readonly rev: string } | undefined {
  if (!owner.startsWith(JOURNAL)) return undefined;
  const [number = '', ...rev] = owner.slice(JOURNAL.length).split('/');
  return { number: parseSeqKey(number), rev: rev.join('/') };
}

/** What PouchDB is told where the revisions are in our sublevel. */
export const ELSEWHERE = `${OPEN}${refText(OURS)}${CLOSE}`;

/** Entries of more characters are moved to our sublevel. */
const LONG = 16_384;

/** So many revisions are looked for in the text; for more it is faster to take it apart. */
const FEW = 16;

export interface RefsChange {
  readonly added: ReadonlySet<string>;
  readonly removed: ReadonlySet<string>;
}

/** Whether the revisions are in our sublevel; PouchDB may have added some to the text. */
export const isElsewhere = (text: string): boolean => text.startsWith(ELSEWHERE.slice(0, -CLOSE.length));

/** Whether there are too many of them for a text. */
export const isLong = (text: string): boolean => text.length > LONG;

/** The stored text with what was added and removed; undefined where no revision is left. */
export function changedText(before: string | undefined, { added, removed }: RefsChange): string | undefined {
  if (before === undefined) return added.size === 0 ? undefined : refsText(added);
  // What is only added to is not taken apart.
  const isSmall = removed.size === 0 && added.size <= FEW;
  if (isSmall && before.startsWith(`${OPEN}"`) && before.endsWith(`:true${CLOSE}`)) {
    // The bracket or comma before it: the id of another document may end in a quote and the whole of this one.
    const more = Array.from(added, refText);
    const fresh = more.filter((ref) => !before.startsWith(OPEN + ref) && !before.includes(`,${ref}`));
    return fresh.length === 0 ? before : [before.slice(0, -CLOSE.length), ...fresh].join(',') + CLOSE;
  }
  const refs = parseRefs(before);
  // Databases of long ago do not know who has their attachments: those stay, as far as we are concerned.
  if (refs === undefined) return before;
  const names = new Set(refs);
  for (const ref of removed) names.delete(ref);
  for (const ref of added) names.add(ref);
  return names.size === 0 ? undefined : refsText(names);
}

/** The revisions in a stored text; undefined where they are not known. */
export function parseRefs(text: string): readonly string[] | undefined {
  const { refs } = JSON.parse(text) as { refs?: Record<string, true> };
  return refs && Object.keys(refs).filter((ref) => ref !== OURS);
}

export const refsText = (refs: Iterable<string>): string =>
  OPEN + Array.from(refs, refText).join(',') + CLOSE;

/** Of a revision, `id@rev`. */
function refText(ref: string): string {
  return `${JSON.stringify(ref)}:true`;
}
