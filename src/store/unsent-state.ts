import { type State, UNSENT } from './state.js';
import * as layout from './layout.js';

/** What is known of the rows that wait for the upstream, beside the index of them. */
export interface UnsentState {
  /** Up to here everything was sent, whatever the index says. */
  readonly sent: number;
  /** From there up to here everything waits, whether or not it is in the index. */
  readonly floor: number;
  /** When the oldest of what waits up to the floor was written, in milliseconds since 1970. */
  readonly floorTime: number;
  /** How many rows wait. */
  readonly count: number;
}

/** Since when a document waits: it may have been changed again. */
export interface Waiting {
  /** Milliseconds since 1970. */
  readonly time: number;
  /** The sequence that its first change had which waits; 0 where nobody knows. */
  readonly seq: number;
}

/** As the index has it. */
export const waitingText = ({ time, seq }: Waiting): string => `${time},${seq}`;

export function parseWaiting(text: string): Waiting {
  const [time, seq] = text.split(',');
  return { time: Number(time), seq: Number(seq) };
}

/** Where the state stands. */
export const UNSENT_KEY = layout.meta.key(UNSENT);

/**
 * Reads the state as it is stored; undefined where no account is kept. Where it is damaged everything waits.
 * @param updateSeq of the database, and how many rows its feed has
 */
export function readUnsent(
  text: string | undefined,
  { updateSeq, docCount, deletedCount }: Pick<State, 'updateSeq' | 'docCount' | 'deletedCount'>,
): UnsentState | undefined {
  if (text === undefined) return undefined;
  return parseUnsent(text) ?? allUnsent(updateSeq, docCount + deletedCount, Date.now());
}

/** @returns undefined for what is none */
export function parseUnsent(text: string): UnsentState | undefined {
  try {
    const { sent, floor, floorTime, count } = JSON.parse(text) as Partial<UnsentState>;
    return isNumber(sent) && isNumber(floor) && isNumber(floorTime) && isNumber(count)
      ? { sent, floor, floorTime, count }
      : undefined;
  } catch {
    return undefined;
  }
}

const isNumber = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;

/** All of the rows of a database wait. */
export const allUnsent = (updateSeq: number, count: number, floorTime: number): UnsentState => ({
  sent: 0,
  floor: updateSeq,
  floorTime,
  count,
});

export const unsentKey = (seq: number): string => layout.unsent.key(layout.seqKey(seq));

export const unsentSeq = (key: string): number => layout.parseSeqKey(layout.unsent.strip(key));

/** Keys of the index after a sequence, up to another one. */
export const unsentRange = (after: number, until: number): { readonly gt: string; readonly lte: string } => ({
  gt: unsentKey(after),
  lte: unsentKey(until),
});
