import { setTimeout as pause } from 'node:timers/promises';

/** How long anything that is waited for may take. */
export const CEILING_MS = 30_000;

const STEP_MS = 20;

export interface WaitOptions {
  /** For what is known to be long work, such as moving very many documents. */
  ceiling?: number;
  /** Milliseconds between two looks, where a look is expensive. */
  step?: number;
}

/**
 * Looks again and again until there is something other than undefined and false, and returns it.
 * Rejects after 30 s, naming what was waited for and the last error of looking.
 */
export async function until<T>(
  what: string,
  look: () => T | undefined | false | Promise<T | undefined | false>,
  { ceiling = CEILING_MS, step = STEP_MS }: WaitOptions = {},
): Promise<T> {
  const end = performance.now() + ceiling;
  let problem: unknown;
  for (;;) {
    try {
      const found = await look();
      if (found !== undefined && found !== false) return found;
      problem = undefined;
    } catch (error) {
      problem = error;
    }
    if (performance.now() > end)
      throw new Error(`waited ${String(ceiling / 1000)} s in vain: ${what}`, { cause: problem });
    await pause(step);
  }
}

/** Runs `work` for each item, at most `width` at once; results in order. */
export async function inParallel<T, R>(
  items: readonly T[],
  width: number,
  work: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  const queue = items.entries();
  const worker = async (): Promise<void> => {
    for (const [index, item] of queue) results[index] = await work(item, index);
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker));
  return results;
}
