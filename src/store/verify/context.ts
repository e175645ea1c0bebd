import type { ClassicLevel } from 'classic-level';
import { parseRecord, type StoredDocument } from '../record.js';
import type { BytesCount } from '../recount.js';
import type { State } from '../state.js';
import type { Report } from './findings.js';
import type { Recount } from './recount.js';

/** What the checks of one database share. */
export interface Context {
  readonly level: ClassicLevel;
  readonly report: Report;
  /** Counters as they are stored; undefined where they are missing or damaged. */
  readonly state: State | undefined;
  /** Whether the indexes are meant to be right: they are not where PouchDB wrote since, or the counters are missing. */
  readonly indexed: boolean;
  readonly recount: Recount;
  readonly sizes: BytesCount;
  /** Tells how far it is. */
  readonly progress: Progress;
}

/** @param part what is read @param done how many of it */
export type Progress = (part: string, done: number) => void;

/** At most so many findings of one kind are remembered for what comes later. */
export const REMEMBERED = 100_000;

/** How many entries are read at a time, where each may be large. */
export const PAGE = 100;

/** How every check reads what it goes through. */
export const READING = { highWaterMarkBytes: 1 << 20 } as const;

/** A stored record, as far as it can be read. */
export function readableRecord(text: string | undefined): StoredDocument | undefined {
  if (text === undefined) return undefined;
  try {
    return parseRecord(text);
  } catch {
    return undefined;
  }
}

/** Text as an object; undefined where it is none. */
export function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}
