import { runReplicationRounds } from '../support/replication-rounds.js';
import type { SoakContext } from './context.js';

/** Each of what may happen to a side, with each process that may replicate, twice. */
const ROUNDS = 36;

/** Replications over lines that fail, with kills of each process, and sides that become what they were before. */
export async function replication(context: SoakContext): Promise<boolean> {
  const { rounds = { from: 1, to: ROUNDS }, seed } = context.options;
  await context.needDisk(2e9);
  const total = { rounds: 0, kills: 0, cut: 0, faults: 0, claimed: 0, documents: 0 };
  let next = rounds.from;
  await runReplicationRounds({
    seed,
    from: rounds.from - 1,
    to: rounds.to,
    onRound: ({ round, way, event, continuous, documents, kills, cut, claimed, faults }) => {
      total.rounds += 1;
      total.kills += kills;
      total.cut += cut;
      total.faults += faults;
      total.claimed += claimed;
      total.documents += documents;
      next = round + 2;
      context.say(
        `round ${String(round + 1)}: ${way}, ${continuous ? 'continuous' : 'once'}, ${event}: ${String(cut)} of ${String(kills)} kills in the middle, ${String(faults)} faults, ${String(claimed)} documents claimed, ${String(documents)} equal`,
      );
      return !context.isSpent;
    },
  });
  await context.record({ ...total, from: rounds.from, to: next - 1, seconds: context.seconds });
  if (next > rounds.to) return true;
  context.say(`go on with --rounds ${String(next)}-${String(rounds.to)} --seed ${String(seed)}`);
  return false;
}
