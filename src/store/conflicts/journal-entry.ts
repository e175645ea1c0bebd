import { quote } from '../../json/quote.js';
import { members } from '../../json/text.js';
import type { AttachmentForm } from '../body-facts.js';
import * as layout from '../layout.js';
import { JOURNAL } from '../state.js';
import type { JournalEntry } from './types.js';

/**
 * Where it stands what is counted of the journal: bytes are those of all entries and their leaves, with attachments, each
 * counted for every leaf that has it.
 */
export const JOURNAL_KEY = layout.meta.key(JOURNAL);

export const journalKey = (number: number): string => layout.journal.key(layout.seqKey(number));

/** Where the text of a leaf stands. */
export const leafKey = (number: number, rev: string): string =>
  layout.journalLeaves.key(leafName(number, rev));

const leafName = (number: number, rev: string): string => `${layout.seqKey(number)}/${rev}`;

/** All leaves of an entry; `0` follows `/`. */
export const leavesOf = (number: number): { readonly gt: string; readonly lt: string } => ({
  gt: leafKey(number, ''),
  lt: layout.journalLeaves.key(`${layout.seqKey(number)}0`),
});

/** Number and revision of a leaf. */
export function parseLeafKey(key: string): { readonly number: number; readonly rev: string } {
  const name = layout.journalLeaves.strip(key);
  const at = name.indexOf('/');
  return { number: layout.parseSeqKey(name.slice(0, at)), rev: name.slice(at + 1) };
}

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
export const leafBytes = (text: string, forms: readonly AttachmentForm[]): number =>
  forms.reduce((sum, { length }) => sum + length, Buffer.byteLength(text));
