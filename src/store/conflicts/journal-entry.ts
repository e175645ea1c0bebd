import { quote } from '../../json/quote.js';
import { members } from '../../json/text.js';
import type { BodyFacts } from '../body-facts.js';
import * as layout from '../layout.js';
import { JOURNAL } from '../state.js';
import type { JournalEntry } from './types.js';

/**
 * Where it stands what is counted of the journal: bytes are those of all entries and their leaves, with attachments, each
 * counted for every leaf that has it.
 */
export const JOURNAL_KEY = layout.meta.key(JOURNAL);

export const journalKey = (number: number): string => layout.journal.key(layout.seqKey(number));

/** Where leaves of an entry stand (leaf-text.ts). @param at 0 for the first value of the entry, which has mostly no other */
export const leavesKey = (number: number, at: number): string =>
  layout.journalLeaves.key(`${layout.seqKey(number)}/${String(at)}`);

/** All leaves of an entry; `0` follows `/`. */
export const leavesOf = (number: number): { readonly gt: string; readonly lt: string } => ({
  gt: layout.journalLeaves.key(`${layout.seqKey(number)}/`),
  lt: layout.journalLeaves.key(`${layout.seqKey(number)}0`),
});

/** Number of the entry whose leaves stand at a key. */
export const numberOfLeavesKey = (key: string): number => layout.parseSeqKey(layout.journalLeaves.strip(key));

/** Where it stands that a document has an entry. A quoted id is never the beginning of another. */
export const journalIdKey = (id: string, number: number): string =>
  layout.journalIds.key(`${quote(id)}${layout.seqKey(number)}`);

/** All entries of a document. */
export const entriesOfId = (id: string): { readonly gte: string; readonly lte: string } => ({
  gte: journalIdKey(id, 0),
  lte: journalIdKey(id, Number.MAX_SAFE_INTEGER),
});

export const numberOfIdKey = (key: string): number => layout.parseSeqKey(key.slice(-16));

/** As it is stored. */
export const entryText = ({ id, time, text }: Omit<JournalEntry, 'number'>): string =>
  `{"id":${quote(id)},"time":${String(time)},"entry":${text}}`;

/** @returns undefined for what is none */
export function parseEntry(number: number, stored: string): JournalEntry | undefined {
  try {
    const { id, time } = JSON.parse(stored) as Partial<JournalEntry>;
    const text = members(stored)?.get('entry');
    return typeof id === 'string' && Number.isSafeInteger(time) && text !== undefined
      ? { number, id, time: Number(time), text }
      : undefined;
  } catch {
    return undefined;
  }
}

/** What a leaf counts for. */
export const leafBytes = ({ length, attachments }: BodyFacts): number =>
  attachments.reduce((sum, form) => sum + form.length, length);
