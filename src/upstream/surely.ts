import { setTimeout as sleep } from 'node:timers/promises';

/** Milliseconds before each time that it is asked again. */
const PAUSES = [100, 300, 600];

/**
 * Asks again where an answer says what is only to be believed if it lasts: what stands between may say so for a moment.
 * @returns the first answer that says something else, or the last one
 * @throws what `ask` fails with, the reason of the signal
 */
export async function surely<T>(
  ask: () => Promise<T>,
  isDoubtful: (answer: T) => boolean,
  signal: AbortSignal,
): Promise<T> {
  let answer = await ask();
  for (const pause of PAUSES) {
    if (!isDoubtful(answer)) break;
    await sleep(pause, undefined, { signal });
    answer = await ask();
  }
  return answer;
}
