import { runMirrorRounds } from '../support/mirror-rounds.js';
import type { SoakContext } from './context.js';

/** Each of what may happen, four times. */
const ROUNDS = 24;

/** Two gateways, their clients and one upstream, over lines that fail, with kills of each process. */
export async function mirrors(context: SoakContext): Promise<boolean> {
  const { rounds = { from: 1, to: ROUNDS }, seed } = context.options;
  await context.needDisk(2e9);
  const total = { rounds: 0, kills: 0, faults: 0, acknowledged: 0, documents: 0 };
  let next = rounds.from;
  await runMirrorRounds({
    seed,
    from: rounds.from - 1,
    to: rounds.to,
    onRound: ({ round, event, documents, acknowledged, kills, faults }) => {
      total.rounds += 1;
      total.kills += kills;
      total.faults += faults;
      total.acknowledged += acknowledged;
      total.documents += documents;
      next = round + 2;
      context.say(
        `round ${String(round + 1)}: ${event}: ${String(kills)} kills, ${String(faults)} faults, ${String(acknowledged)} writes acknowledged, ${String(documents)} documents equal`,
      );
      return !context.isSpent;
    },
  });
  await context.record({ ...total, from: rounds.from, to: next - 1, seconds: context.seconds });
  if (next > rounds.to) return true;
  context.say(`go on with --rounds ${String(next)}-${String(rounds.to)} --seed ${String(seed)}`);
  return false;
}
