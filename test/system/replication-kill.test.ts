import { expect, it } from 'vitest';
import { testSeed } from './support/random.js';
import { runReplicationRounds, type ReplicationRound } from './support/replication-rounds.js';

/** The target pulls, and is put back to what it was before. */
const ROUND = 8;

it(
  'replicates everything through kills of each process and over lines that fail, with no checkpoint ahead',
  { timeout: 400_000 },
  async () => {
    const reports: ReplicationRound[] = [];
    const onRound = (report: ReplicationRound): boolean => reports.push(report) > 0;
    await runReplicationRounds({ seed: testSeed(), from: ROUND, to: ROUND + 1, onRound });
    expect(reports).toMatchObject([{ way: 'pull', event: 'target restored', kills: 3 }]);
    for (const { documents, cut, faults } of reports) {
      expect(documents).toBeGreaterThan(50);
      expect(cut).toBeGreaterThan(0);
      expect(faults).toBeGreaterThan(0);
    }
  },
);
