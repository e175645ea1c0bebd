import * as layout from '../layout.js';
import { BASES } from '../state.js';
import type { BaseLimits } from './types.js';

/**
 * Bodies of revisions that are no leaves, which one commit began to keep because a merge may need them. Those that have no
 * mark (base-marks.ts) are kept no more, or are gone: an entry stays as it is until none of its bodies is left.
 */
export interface BaseGroup {
  /** Since when they are kept, in milliseconds since 1970. */
  readonly time: number;
  readonly bodies: readonly BaseBody[];
}

/** Its sequence; its bytes, and those of what it has attached, uncompressed, whoever else has that. */
export type BaseBody = readonly [seq: number, bytes: number];

/** A commit that keeps more makes further groups: whoever looks for what has to go reads few that do not. */
export const GROUP = 64;

/** Where it stands what is counted of the bodies that have marks, and the number of the last group. */
export const BASES_KEY = layout.meta.key(BASES);

export const groupKey = (number: number): string => layout.bases.key(layout.seqKey(number));

/** All groups, the oldest first. */
export const ALL_GROUPS = { gte: layout.bases.start, lt: layout.bases.end } as const;

export const numberOfGroup = (key: string): number => layout.parseSeqKey(layout.bases.strip(key));

export const groupText = ({ time, bodies }: BaseGroup): string => JSON.stringify({ time, bodies });

/** @returns undefined for what is none */
export function parseGroup(text: string): BaseGroup | undefined {
  try {
    const { time, bodies } = JSON.parse(text) as BaseGroup;
    return Number.isSafeInteger(time) && bodies.every(isBody) ? { time, bodies } : undefined;
  } catch {
    return undefined;
  }
}

const isBody = (body: unknown): boolean =>
  Array.isArray(body) &&
  body.length === 2 &&
  body.every((number) => Number.isSafeInteger(number) && Number(number) >= 0);

/** Whether the oldest bodies have to go. @param time since when they are kept @param bytes of all */
export const areDue = ({ maxAge, maxBytes }: BaseLimits, time: number, bytes: number): boolean =>
  bytes > maxBytes || Date.now() - time > maxAge;
