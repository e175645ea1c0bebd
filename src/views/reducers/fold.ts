import { inTurns, type Work } from '../../json/turns.js';

/** What one run of rows or reductions makes; it yields wherever it may be interrupted. */
export type Fold<T> = (run: readonly T[]) => Work<string>;

/** Works out each run of a batch while others get their turns. */
export async function foldAll<T>(runs: readonly (readonly T[])[], fold: Fold<T>): Promise<readonly string[]> {
  return inTurns(each(runs, fold));
}

function* each<T>(runs: readonly (readonly T[])[], fold: Fold<T>): Work<readonly string[]> {
  const reductions: string[] = [];
  for (const run of runs) {
    reductions.push(yield* fold(run));
    yield;
  }
  return reductions;
}
