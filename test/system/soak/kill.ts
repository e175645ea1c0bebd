import { ROUNDS_PER_STORE, runKillRounds } from '../support/kill-rounds.js';
import type { SoakContext } from './context.js';

const ROUNDS = 200;

/** SIGKILL under a load of writes, 200 times. A store lives through some rounds, which are run together. */
export async function kill(context: SoakContext): Promise<boolean> {
  const { rounds = { from: 1, to: ROUNDS }, seed } = context.options;
  await context.needDisk(2e9);
  const total = { acknowledged: 0, compared: 0, attachments: 0, compactions: 0, cut: 0, rounds: 0 };
  const first = rounds.from - 1 - ((rounds.from - 1) % ROUNDS_PER_STORE);
  for (let from = first; from < rounds.to; from += ROUNDS_PER_STORE) {
    if (context.isSpent) {
      await context.record({ ...total, from: rounds.from, to: from, seconds: context.seconds });
      context.say(`go on with --rounds ${String(from + 1)}-${String(rounds.to)} --seed ${String(seed)}`);
      return false;
    }
    const to = Math.min(rounds.to, from + ROUNDS_PER_STORE);
    await runKillRounds({
      seed,
      from,
      to,
      onRound: ({ round, acknowledged, documents, attachments, compactions }) => {
        total.rounds += 1;
        total.acknowledged += acknowledged;
        total.compared += documents;
        total.attachments += attachments;
        total.compactions += compactions.ended;
        total.cut += compactions.begun - compactions.ended;
        context.say(
          `round ${String(round + 1)}: ${String(acknowledged)} writes acknowledged, ${String(documents)} documents and ${String(attachments)} attachments right, ${String(compactions.ended)} of ${String(compactions.begun)} compactions ended`,
        );
      },
    });
  }
  await context.record({ ...total, from: rounds.from, to: rounds.to, seconds: context.seconds });
  return true;
}
