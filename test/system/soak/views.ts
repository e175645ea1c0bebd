import { runViewKills } from '../support/view-kills.js';
import type { SoakContext } from './context.js';

const ROUNDS = 100;
/** Rounds of one store. */
const TOGETHER = 20;

/** SIGKILL while views build under a load of writes, 100 times. */
export async function views(context: SoakContext): Promise<boolean> {
  const { rounds = { from: 1, to: ROUNDS }, seed } = context.options;
  await context.needDisk(2e9);
  const total = { rounds: 0, cut: 0, written: 0, rows: 0 };
  for (let from = rounds.from - 1; from < rounds.to; from += TOGETHER) {
    if (context.isSpent) {
      await context.record({ ...total, from: rounds.from, to: from, seconds: context.seconds });
      context.say(`go on with --rounds ${String(from + 1)}-${String(rounds.to)} --seed ${String(seed)}`);
      return false;
    }
    await runViewKills({
      seed: seed + from,
      rounds: Math.min(TOGETHER, rounds.to - from),
      onRound: ({ round, written, rows, isCut }) => {
        total.rounds += 1;
        total.cut += Number(isCut);
        total.written += written;
        total.rows += rows;
        context.say(
          `round ${String(from + round + 1)}: ${String(written)} documents written, ${String(rows)} rows right${isCut ? ', an update cut' : ''}`,
        );
      },
    });
  }
  await context.record({ ...total, from: rounds.from, to: rounds.to, seconds: context.seconds });
  return true;
}
