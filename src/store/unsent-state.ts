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
