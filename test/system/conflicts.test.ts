import { expect, it } from 'vitest';
import { type ConflictRound, runConflictRounds } from './support/conflict-rounds.js';
import { testSeed } from './support/random.js';

it(
  'two gateways that merge at once end with the same documents as their upstream, in which each edit counts once',
  { timeout: 400_000 },
  async () => {
    const rounds: ConflictRound[] = [];
    await runConflictRounds({
      ...{ seed: testSeed(), from: 0, to: 1 },
      partitions: 1,
      watch: 2000,
      onRound: (round) => rounds.push(round) > 0,
    });
    expect(rounds).toHaveLength(1);
    for (const { merged, acknowledged } of rounds) {
      expect(merged).toBeGreaterThan(5);
      expect(acknowledged).toBeGreaterThan(50);
    }
  },
);
