import * as layout from '../layout.js';
import { BASES } from '../state.js';

/** A body of a revision that is no leaf, kept because a merge may need it. */
export interface BaseEntry {
  /** Of the body. */
  readonly seq: number;
  /** Since when it is kept, in milliseconds since 1970. */
  readonly time: number;
  /** Its bytes, and those of what it has attached, uncompressed, whoever else has that. */
  readonly bytes: number;
}

/** Where it stands what is counted of these. */
export const BASES_KEY = layout.meta.key(BASES);

export const baseKey = (number: number): string => layout.bases.key(layout.seqKey(number));

/** Where the number of a body's entry stands. */
export const baseNumberKey = (seq: number): string => layout.baseNumbers.key(layout.seqKey(seq));

/** All entries, the oldest first. */
export const ALL_BASES = { gte: layout.bases.start, lt: layout.bases.end } as const;

export const numberOfBaseKey = (key: string): number => layout.parseSeqKey(layout.bases.strip(key));

/** @returns undefined for what is none */
export function parseBase(text: string): BaseEntry | undefined {
  try {
    const { seq, time, bytes } = JSON.parse(text) as BaseEntry;
    return [seq, time, bytes].every((number) => Number.isSafeInteger(number))
      ? { seq, time, bytes }
      : undefined;
  } catch {
    return undefined;
  }
}
