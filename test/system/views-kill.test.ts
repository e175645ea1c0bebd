import { expect, it } from 'vitest';
import { testSeed } from './support/random.js';
import { runViewKills, type ViewRound } from './support/view-kills.js';

const ROUNDS = 5;

it(
  `has the rows of new indexes in those that were built through ${String(ROUNDS)} kills`,
  { timeout: 600_000 },
  async () => {
    const reports: ViewRound[] = [];
    await runViewKills({ seed: testSeed(), rounds: ROUNDS, onRound: (report) => reports.push(report) });
    expect(reports).toHaveLength(ROUNDS);
    for (const { rows } of reports) expect(rows).toBeGreaterThan(10_000);
    expect(reports.some(({ isCut }) => isCut)).toBe(true);
  },
);
