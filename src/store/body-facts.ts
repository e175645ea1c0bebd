import type { ClassicLevel } from 'classic-level';
import { readAttachments } from './attachments/members.js';
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

export function factsOf(text: string | undefined): BodyFacts {
  if (text === undefined) return { rev: '', length: 0, attached: 0, attachments: [] };
  const attachments: AttachmentForm[] = [];
  let attached = 0;
  for (const { digest, length, encoded } of readAttachments(text).values()) {
    attachments.push({ digest, length });
    attached += length;
    if (encoded !== undefined) attachments.push({ digest: encoded.digest, length: encoded.length });
  }
  const rev = attachments.length === 0 ? '' : (JSON.parse(text) as { _rev: string })._rev;
  return { rev, length: Buffer.byteLength(text), attached, attachments };
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
