import { expect, it } from 'vitest';
import { type MirrorRound, runMirrorRounds } from './support/mirror-rounds.js';
import { testSeed } from './support/random.js';

it(
  'two gateways, their clients and the upstream have the same in the end, whatever fails meanwhile',
  { timeout: 900_000 },
  async () => {
    const rounds: MirrorRound[] = [];
    await runMirrorRounds({ seed: testSeed(), from: 1, to: 4, onRound: (round) => rounds.push(round) > 0 });
    expect(rounds.map(({ event }) => event)).toEqual([
      'upstream away for long',
      'upstream compacted and purged',
      'gateway restored',
    ]);
    for (const { acknowledged, kills, documents } of rounds) {
      expect(kills).toBe(3);
      expect(acknowledged).toBeGreaterThan(50);
      expect(documents).toBeGreaterThan(50);
    }
  },
);
