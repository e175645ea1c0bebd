import { runConflictRounds } from '../support/conflict-rounds.js';
import type { SoakContext } from './context.js';

const ROUNDS = 12;
const PARTITIONS = 4;
/** Milliseconds. */
const WATCH = 10_000;

/** Two gateways that merge at once, and one upstream, all with clients that edit the same documents through partitions. */
export async function conflicts(context: SoakContext): Promise<boolean> {
  const { rounds = { from: 1, to: ROUNDS }, seed } = context.options;
  await context.needDisk(1e9);
  const total = { rounds: 0, kills: 0, acknowledged: 0, merged: 0, clashing: 0, baseless: 0 };
  let next = rounds.from;
  let faults = 0;
  await runConflictRounds({
    seed,
    from: rounds.from - 1,
    to: rounds.to,
    partitions: PARTITIONS,
    watch: WATCH,
    couchdb: process.env.COUCHDB_URL,
    onRound: ({ round, kills, acknowledged, merged, clashing, baseless, faults: soFar }) => {
      total.rounds += 1;
      total.kills += kills;
      total.acknowledged += acknowledged;
      total.merged += merged;
      total.clashing += clashing;
      total.baseless += baseless;
      faults = soFar;
      next = round + 2;
      context.say(
        `round ${String(round + 1)}: ${String(kills)} kills, ${String(acknowledged)} edits acknowledged, ${String(merged)} documents merged, ${String(clashing)} clashing, ${String(baseless)} without a base, ${String(soFar)} faults so far`,
      );
      return !context.isSpent;
    },
  });
  await context.record({ ...total, faults, from: rounds.from, to: next - 1, seconds: context.seconds });
  if (next > rounds.to) return true;
  context.say(`go on with --rounds ${String(next)}-${String(rounds.to)} --seed ${String(seed)}`);
  return false;
}
