import { expect, it } from 'vitest';
import { type ConflictRound, runConflictRounds } from './support/conflict-rounds.js';
import { testSeed } from './support/random.js';

it(
  'two gateways that merge at once end with the same documents as their upstream, in which each edit counts once',
  { timeout: 900_000 },
  async () => {
    const rounds: ConflictRound[] = [];
    await runConflictRounds({
      ...{ seed: testSeed(), from: 0, to: 3 },
      partitions: 1,
      watch: 2000,
      onRound: (round) => rounds.push(round) > 0,
    });
    expect(rounds).toHaveLength(3);
    for (const { merged, acknowledged } of rounds) {
      expect(merged).toBeGreaterThan(0);
      expect(acknowledged).toBeGreaterThan(50);
    }
    expect(rounds.reduce((sum, { merged }) => sum + merged, 0)).toBeGreaterThan(10);
  },
);
