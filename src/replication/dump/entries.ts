import type { FileHandle } from 'node:fs/promises';
import type { JsonObject, RevisionText } from '../peer.js';
import { damaged } from './errors.js';
import { type DumpedAttachment, followsOf, parseLine } from './format.js';
import { type Line, readLines } from './lines.js';

/** A revision that stands in a dump with all that is attached to it. */
export interface DumpedRevision {
  readonly kind: 'revision';
  readonly document: RevisionText;
  readonly place: Place;
  /** Where whatever follows begins. */
  readonly end: number;
}

/** Where a revision stands. */
export interface Place {
  readonly start: number;
  /** Where the bytes of what is attached begin: behind the line of the document. */
  readonly bodies: number;
}

export type DumpEntry =
  | DumpedRevision
  | { readonly kind: 'checkpoint'; readonly id: string; readonly log: JsonObject; readonly end: number }
  | { readonly kind: 'other'; readonly end: number };

/**
 * Reads what stands in a dump from the beginning of an entry on. A revision whose attachments are not all there was
 * broken off, and is none: it comes again later, or was never written.
 * @throws DumpError
 */
export async function* readEntries(file: FileHandle, from: number): AsyncGenerator<readonly DumpEntry[]> {
  const assembly = new Assembly();
  for await (const lines of readLines(file, from)) {
    const entries = lines.flatMap((line) => assembly.take(line) ?? []);
    if (entries.length > 0) yield entries;
  }
}

/** A document, and what is still to come of its attachments. */
interface Unfinished {
  readonly document: RevisionText;
  readonly place: Place;
  readonly follows: readonly DumpedAttachment[];
  /** Which of them is read, and how much of it is missing. */
  at: number;
  left: number;
}

class Assembly {
  #unfinished: Unfinished | undefined;

  /** @returns the entry that the line completes */
  take(line: Line): DumpEntry | undefined {
    const parsed = parseLine(line);
    const { end } = line;
    switch (parsed.kind) {
      case 'document':
        return this.#begin(parsed.document, line);
      case 'attachment':
        return this.#goOn(parsed.name, Buffer.byteLength(parsed.data, 'base64'), line);
      case 'checkpoint':
        this.#unfinished = undefined;
        return { ...parsed, end };
      case 'header':
      case 'other':
        this.#unfinished = undefined;
        return { kind: 'other', end };
    }
  }

  #begin(document: RevisionText, { start, end }: Line): DumpEntry | undefined {
    const follows = followsIn(document, start);
    const place = { start, bodies: end };
    this.#unfinished = { document, place, follows, at: 0, left: follows[0]?.length ?? 0 };
    return this.#finished(end);
  }

  #goOn(name: string, length: number, { start, end }: Line): DumpEntry | undefined {
    const { follows, at, left } = this.#unfinished ?? { follows: [], at: 0, left: 0 };
    if (this.#unfinished === undefined || follows[at]?.name !== name || length > left)
      throw damaged(start, 'an attachment that is not to come here');
    this.#unfinished.left = left - length;
    return this.#finished(end);
  }

  /** Goes on to the next attachment that has bytes. @returns the revision where there is none */
  #finished(end: number): DumpEntry | undefined {
    const one = this.#unfinished;
    if (one === undefined) return undefined;
    while (one.left === 0 && one.at < one.follows.length) one.left = one.follows[++one.at]?.length ?? 0;
    if (one.at < one.follows.length) return undefined;
    this.#unfinished = undefined;
    return { kind: 'revision', document: one.document, place: one.place, end };
  }
}

function followsIn({ text }: RevisionText, start: number): readonly DumpedAttachment[] {
  try {
    return followsOf(text);
  } catch (error) {
    throw damaged(start, 'what a document says of its attachments makes no sense', error);
  }
}
