import type { ClassicLevel } from 'classic-level';
import { readableAttachments } from './attachments/members.js';
import { BodyPages } from './body-pages.js';
import type { LargeBodies } from './large-bodies.js';
import * as layout from './layout.js';

/** Bytes that are stored under a digest. */
export interface AttachmentForm {
  readonly digest: string;
  readonly length: number;
}

/** What must be known of a stored body to drop it, or to count it. */
export interface BodyFacts {
  readonly rev: string;
  /** Bytes. */
  readonly length: number;
  /** Bytes of its attachments, uncompressed. */
  readonly attached: number;
  /** Its attachments, in all their forms. */
  readonly attachments: readonly AttachmentForm[];
}

/** Of a body that is missing nothing is known, of a damaged one only its length: even so it can be dropped. */
export function factsOf(text: string | undefined): BodyFacts {
  const named = text === undefined ? undefined : readableAttachments(text);
  const length = Buffer.byteLength(text ?? '');
  if (text === undefined || named === undefined || named.size === 0) return lengthAlone(length);
  const rev = readableRev(text);
  if (rev === undefined) return lengthAlone(length);
  const attachments: AttachmentForm[] = [];
  let attached = 0;
  for (const { digest, length: plainLength, encoded } of named.values()) {
    attachments.push({ digest, length: plainLength });
    attached += plainLength;
    if (encoded !== undefined) attachments.push({ digest: encoded.digest, length: encoded.length });
  }
  return { rev, length, attached, attachments };
}

/** The same of a text that names no attachments. */
export const plainFacts = (text: string): BodyFacts => lengthAlone(Buffer.byteLength(text));

const lengthAlone = (length: number): BodyFacts => ({ rev: '', length, attached: 0, attachments: NO_FORMS });

const NO_FORMS: readonly AttachmentForm[] = [];

function readableRev(text: string): string | undefined {
  try {
    return (JSON.parse(text) as { _rev: string })._rev;
  } catch {
    return undefined;
  }
}

/** Reads the facts of stored bodies, a page of them at a time. */
export async function* readFacts<T>(
  level: ClassicLevel,
  largeBodies: LargeBodies,
  items: readonly T[],
  seqOf: (item: T) => number,
): AsyncGenerator<readonly { readonly item: T; readonly facts: BodyFacts }[]> {
  const bodies = new BodyPages<number>({
    bodyBound: (seq) => largeBodies.bound(seq),
    readMany: (seqs) => level.getMany(seqs.map((seq) => layout.bodies.key(layout.seqKey(seq)))),
  });
  for await (const page of bodies.pages(items, seqOf)) {
    yield page.map(({ item, text }) => ({ item, facts: factsOf(text) }));
  }
}

/** The facts of stored bodies by their sequences. */
export async function factsBySeq(
  level: ClassicLevel,
  largeBodies: LargeBodies,
  seqs: readonly number[],
): Promise<ReadonlyMap<number, BodyFacts>> {
  const bySeq = new Map<number, BodyFacts>();
  for await (const page of readFacts(level, largeBodies, seqs, (seq) => seq)) {
    for (const { item, facts } of page) bySeq.set(item, facts);
  }
  return bySeq;
}
