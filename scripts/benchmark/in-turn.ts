import { type Figures, measure } from './measure.js';
import type { Target } from './target.js';
import type { Workload } from './workload.js';

/** Medians of the rounds on one server. */
export interface Medians {
  /** Units a second. */
  readonly rate: number;
  /** Microseconds of processor time for each unit. */
  readonly cpu: number;
}

/** Measures a workload on servers in turn. @returns what each gave, in their order */
export async function measureInTurn(
  targets: readonly Target[],
  workload: Workload,
  rounds: number,
): Promise<Medians[]> {
  const figures: Figures[][] = targets.map(() => []);
  for (let round = 0; round <= rounds; round++)
    for (const [at, target] of targets.entries()) {
      const one = await measure(target, workload, round);
      // Code is compiled in one that does not count.
      if (round > 0) figures[at]?.push(one);
    }
  return figures.map(medians);
}

function medians(figures: readonly Figures[]): Medians {
  const middle = (values: readonly number[]): number =>
    values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
  return { rate: middle(figures.map(({ rate }) => rate)), cpu: middle(figures.map(({ cpu }) => cpu ?? NaN)) };
}
