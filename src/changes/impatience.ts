import { LONGEST_TIMER } from './waiter.js';

/**
 * What a generator yields, and `nothing` each time when it keeps its reader waiting for too long. Ends at once when the
 * signal fires, whatever the generator is at then.
 * @param patience how many milliseconds it may take from now on
 */
export async function* impatiently<T>(
  source: AsyncGenerator<T>,
  nothing: T,
  patience: () => number,
  signal: AbortSignal,
): AsyncGenerator<T> {
  try {
    for (;;) {
      const next = source.next();
      let outcome = await first(next, patience(), signal);
      while (outcome === 'late') {
        yield nothing;
        outcome = await first(next, patience(), signal);
      }
      if (outcome === 'over') return;
      const result = await next;
      if (result.done === true) return;
      yield result.value;
    }
  } finally {
    // It may still be at work, and ends when that is done.
    source.return(undefined).catch(() => undefined);
  }
}

/** Whether something is settled, takes longer than so many milliseconds, or is not wanted any more. */
function first(
  awaited: Promise<unknown>,
  patience: number,
  signal: AbortSignal,
): Promise<'settled' | 'late' | 'over'> {
  if (signal.aborted) {
    awaited.catch(() => undefined);
    return Promise.resolve('over');
  }
  return new Promise((resolve) => {
    const finish = (outcome: 'settled' | 'late' | 'over'): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      resolve(outcome);
    };
    const onAbort = (): void => finish('over');
    const settle = (): void => finish('settled');
    const timer = setTimeout(() => finish('late'), Math.min(Math.max(0, Math.ceil(patience)), LONGEST_TIMER));
    signal.addEventListener('abort', onAbort);
    awaited.then(settle, settle);
  });
}
