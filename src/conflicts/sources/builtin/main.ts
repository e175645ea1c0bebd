import { parentPort } from 'node:worker_threads';
import { inTurns, type Work } from '../../../json/turns.js';
import { digesting } from '../../digest.js';
import { type BuiltIn, builtIn } from '../../functions/builtin.js';
import { limited } from '../../time-limit.js';
import type { Answer, Order, Task } from './protocol.js';

/** The thread of the functions that are built in; see thread.ts. */

function* perform(merge: BuiltIn | undefined, { number, timeout, conflict }: Task): Work<Answer> {
  try {
    if (merge === undefined) throw new Error('it is not known which function is meant');
    const resolution = yield* limited(merge.resolve({ ...conflict, tree: [] }), timeout);
    // Most functions found it on their way.
    const digest = resolution.kind === 'merge' ? yield* digesting(resolution.content) : undefined;
    return { number, resolution, digest };
  } catch (error) {
    return { number, failure: (error as Error).message };
  }
}

const say = (answers: readonly Answer[]): void => parentPort?.postMessage(answers);

parentPort?.on('message', ({ functions, tasks }: Order) => {
  const made = functions.map(({ name, options }) => builtIn(name, options));
  const answers: Answer[] = [];
  for (const task of tasks) {
    const answer = inTurns(perform(made[task.by], task));
    // What takes long keeps no others waiting.
    if (answer instanceof Promise) void answer.then((late) => say([late]));
    else answers.push(answer);
  }
  if (answers.length > 0) say(answers);
});
