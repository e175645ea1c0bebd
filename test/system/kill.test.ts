import { expect, it } from 'vitest';
import { runKillRounds, type RoundReport } from './support/kill-rounds.js';
import { testSeed } from './support/random.js';

const ROUNDS = 8;

it(
  `keeps every acknowledged write through ${String(ROUNDS)} kills under load`,
  { timeout: 600_000 },
  async () => {
    const reports: RoundReport[] = [];
    await runKillRounds({ seed: testSeed(), to: ROUNDS, onRound: (report) => reports.push(report) });
    expect(reports).toHaveLength(ROUNDS);
    for (const { acknowledged } of reports) expect(acknowledged).toBeGreaterThanOrEqual(50);
    expect(reports.some(({ attachments }) => attachments > 0)).toBe(true);
    // Some that were under way when the server was killed.
    const compactions = reports.map((report) => report.compactions);
    expect(compactions.some(({ ended }) => ended > 0)).toBe(true);
    expect(compactions.some(({ begun, ended }) => begun > ended)).toBe(true);
  },
);
