import { type Figures, measure } from './measure.js';
import type { Target } from './target.js';
import type { Workload } from './workload.js';

/** What the rounds on one server gave. */
export type Rounds = readonly Figures[];

/**
 * Measures a workload on servers in turn; which of them is first changes from round to round, for whoever follows finds
 * the machine as the other left it.
 * @returns the rounds of each, in the order of the servers
 */
export async function measureInTurn(
  targets: readonly Target[],
  workload: Workload,
  rounds: number,
): Promise<Rounds[]> {
  const figures: Figures[][] = targets.map(() => []);
  for (let round = 0; round <= rounds; round++)
    for (const [at, target] of inOrder(targets, round)) {
      const one = await measure(target, workload, round);
      // Code is compiled in one that does not count.
      if (round > 0) figures[at]?.push(one);
    }
  return figures;
}

function inOrder(targets: readonly Target[], round: number): [number, Target][] {
  const entries = [...targets.entries()];
  return round % 2 === 0 ? entries : entries.reverse();
}

/** Units a second. */
export const rateOf = ({ rate }: Figures): number => rate;

/** Microseconds of processor time for each unit. */
export const cpuOf = ({ cpu }: Figures): number => cpu ?? NaN;

/** The median of the rounds. */
export const medianOf = (rounds: Rounds, of: (figures: Figures) => number): number =>
  middle(rounds.map((one) => of(one)));

/** What else the machine does changes from minute to minute: each round is compared with the one beside it. */
export const medianRatio = (rounds: Rounds, others: Rounds, of: (figures: Figures) => number): number =>
  middle(rounds.map((one, at) => of(one) / of(others[at] ?? one)));

const middle = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
