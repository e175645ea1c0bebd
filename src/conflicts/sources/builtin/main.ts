import { parentPort } from 'node:worker_threads';
import { inTurns, type Work } from '../../../json/turns.js';
import type { RevTree } from '../../../revtree/tree.js';
import { considering } from '../../considering.js';
import { type BuiltIn, builtIn } from '../../functions/builtin.js';
import type { Answer, FunctionGiven, Order, Task } from './protocol.js';

/** The thread of the functions that are built in; see thread.ts. */

/** @returns why it is not there in the place of one that cannot be made */
function make({ name, options, version }: FunctionGiven): BuiltIn | string {
  try {
    const made = builtIn(name, options);
    return made.version === version ? made : 'the server was updated while it ran: it has to be started anew';
  } catch (error) {
    return (error as Error).message;
  }
}

function* perform(
  merge: BuiltIn | string = 'there is no such function',
  { number, timeout, document }: Task,
): Work<Answer> {
  if (typeof merge === 'string') return { number, unavailable: merge };
  try {
    const given = { ...document, tree: JSON.parse(document.tree) as RevTree };
    return { number, considered: yield* considering(given, merge, timeout) };
  } catch (error) {
    return { number, failure: (error as Error).message };
  }
}

const say = (answers: readonly Answer[]): void => parentPort?.postMessage(answers);

parentPort?.on('message', ({ functions, tasks }: Order) => {
  const made = functions.map(make);
  const answers: Answer[] = [];
  for (const task of tasks) {
    const answer = inTurns(perform(made[task.by], task));
    // What takes long keeps no others waiting.
    if (answer instanceof Promise) void answer.then((late) => say([late]));
    else answers.push(answer);
  }
  if (answers.length > 0) say(answers);
});
