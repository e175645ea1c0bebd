/** What is counted of things that are numbered from 1 on; kept with every batch that changes it. */
export interface Tally {
  /** Number of the last one, whether or not it is still there. */
  readonly last: number;
  readonly count: number;
  readonly bytes: number;
}

export const NO_TALLY: Tally = { last: 0, count: 0, bytes: 0 };

/** @returns undefined for what is none */
export function parseTally(text: string): Tally | undefined {
  try {
    const { last, count, bytes } = JSON.parse(text) as Tally;
    return [last, count, bytes].every((number) => Number.isSafeInteger(number))
      ? { last, count, bytes }
      : undefined;
  } catch {
    return undefined;
  }
}

export const isSameTally = (one: Tally, other: Tally): boolean =>
  one.last === other.last && one.count === other.count && one.bytes === other.bytes;
