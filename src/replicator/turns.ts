/** What is known of a replication when turns are given. */
export interface Candidate {
  readonly id: string;
  readonly isRunning: boolean;
  readonly isContinuous: boolean;
  /** When it last began; -Infinity where it never did. */
  readonly lastStarted: number;
  /** It may not begin before. */
  readonly notBefore: number;
}

export interface TurnLimits {
  /** So many run at once. */
  readonly maxJobs: number;
  /** So many places are given on at once. */
  readonly maxChurn: number;
}

/** Whose turn it is, by the ids of replications. */
export interface Turns {
  readonly stop: readonly string[];
  readonly start: readonly string[];
}

/**
 * Gives turns as CouchDB does. Whoever waits longest begins first. Where there is no room, continuous replications that
 * have run for longest make place for those that wait; the others run to their end, unless too many run anyway.
 */
export function giveTurns(candidates: readonly Candidate[], limits: TurnLimits, now: number): Turns {
  const running = candidates.filter(({ isRunning }) => isRunning).sort(longestFirst);
  const waiting = candidates.filter((one) => !one.isRunning && one.notBefore <= now).sort(longestFirst);
  const continuous = running.filter(({ isContinuous }) => isContinuous);
  const others = running.filter(({ isContinuous }) => !isContinuous);

  const excess = Math.max(0, running.length - limits.maxJobs);
  const free = Math.max(0, limits.maxJobs - running.length);
  const churn = Math.max(0, limits.maxChurn - excess);
  const rotated = Math.max(0, Math.min(waiting.length - free, churn, continuous.length - excess));
  const stop = [...continuous, ...others.slice(0, Math.max(0, excess - continuous.length))].slice(
    0,
    excess + rotated,
  );
  const start = waiting.slice(0, Math.max(0, limits.maxJobs - (running.length - stop.length)));
  return { stop: stop.map(({ id }) => id), start: start.map(({ id }) => id) };
}

const longestFirst = (a: Candidate, b: Candidate): number => compare(a.lastStarted, b.lastStarted);

/** Of two that never began the difference is no number. */
const compare = (a: number, b: number): number => (a === b ? 0 : a < b ? -1 : 1);
