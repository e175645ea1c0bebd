import { type Figures, measure } from './measure.js';
import type { Target } from './target.js';
import type { Workload } from './workload.js';

/** What the rounds on one server gave. */
export type Rounds = readonly Figures[];

/** Measures a workload on servers in turn. @returns the rounds of each, in their order */
export async function measureInTurn(
  targets: readonly Target[],
  workload: Workload,
  rounds: number,
): Promise<Rounds[]> {
  const figures: Figures[][] = targets.map(() => []);
  for (let round = 0; round <= rounds; round++)
    for (const [at, target] of targets.entries()) {
      const one = await measure(target, workload, round);
      // Code is compiled in one that does not count.
      if (round > 0) figures[at]?.push(one);
    }
  return figures;
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
