import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Candidate, giveTurns } from '../../src/replicator/turns.js';

const candidates = fc
  .array(
    fc.record({
      isRunning: fc.boolean(),
      isContinuous: fc.boolean(),
      lastStarted: fc.oneof(fc.constant(-Infinity), fc.integer({ min: 0, max: 100 })),
      notBefore: fc.oneof(fc.constant(-Infinity), fc.integer({ min: 0, max: 100 })),
    }),
    { maxLength: 30 },
  )
  .map((all): Candidate[] => all.map((one, at) => ({ ...one, id: String(at) })));
const limits = fc.record({ maxJobs: fc.nat(10), maxChurn: fc.nat(5) });
const NOW = 50;

/** What runs and what waits after the turns were given. */
function after(all: readonly Candidate[], { stop, start }: ReturnType<typeof giveTurns>) {
  const stopped = new Set(stop);
  const started = new Set(start);
  const running = all.filter(({ id, isRunning }) => (isRunning && !stopped.has(id)) || started.has(id));
  const due = all.filter(
    ({ id, isRunning, notBefore }) => !isRunning && !started.has(id) && notBefore <= NOW,
  );
  return { running, due };
}

describe('turns', () => {
  it('leave no more running than may, and no place empty while somebody waits', () => {
    fc.assert(
      fc.property(candidates, limits, (all, limit) => {
        const { running, due } = after(all, giveTurns(all, limit, NOW));
        expect(running.length).toBeLessThanOrEqual(limit.maxJobs);
        if (running.length < limit.maxJobs) expect(due).toEqual([]);
      }),
    );
  });

  it('are given to those that are due, the one that waits longest first', () => {
    fc.assert(
      fc.property(candidates, limits, (all, limit) => {
        const { start } = giveTurns(all, limit, NOW);
        const byId = new Map(all.map((one) => [one.id, one]));
        const times = start.map((id) => byId.get(id)?.lastStarted ?? NaN);
        expect(times).toEqual(times.toSorted((a, b) => (a < b ? -1 : a === b ? 0 : 1)));
        for (const id of start)
          expect(byId.get(id)).toSatisfy((one: Candidate) => !one.isRunning && one.notBefore <= NOW);
        const { due } = after(all, giveTurns(all, limit, NOW));
        for (const { lastStarted } of due)
          for (const time of times) expect(time).toBeLessThanOrEqual(lastStarted);
      }),
    );
  });

  it('are taken from continuous ones, no more than are needed or may be', () => {
    fc.assert(
      fc.property(candidates, limits, (all, limit) => {
        const { stop, start } = giveTurns(all, limit, NOW);
        const running = all.filter(({ isRunning }) => isRunning);
        const excess = Math.max(0, running.length - limit.maxJobs);
        const others = stop.filter((id) => all.find((one) => one.id === id)?.isContinuous === false);
        const continuous = running.filter(({ isContinuous }) => isContinuous);
        expect(others).toHaveLength(Math.max(0, excess - continuous.length));
        expect(stop.length).toBeLessThanOrEqual(Math.max(excess, limit.maxChurn));
        if (stop.length > excess) expect(start.length).toBeGreaterThanOrEqual(stop.length - excess);
      }),
    );
  });

  it('are taken from the one that ran longest', () => {
    const one = (id: string, lastStarted: number, isRunning = true): Candidate => ({
      id,
      lastStarted,
      isRunning,
      isContinuous: true,
      notBefore: -Infinity,
    });
    const all = [one('late', 3), one('early', 1), one('middle', 2), one('waiting', 0, false)];
    expect(giveTurns(all, { maxJobs: 3, maxChurn: 1 }, NOW)).toEqual({ stop: ['early'], start: ['waiting'] });
  });

  it('come to everybody when they are given again and again', () => {
    const all = Array.from({ length: 10 }, (_, at) => ({
      id: String(at),
      isContinuous: true,
      notBefore: -Infinity,
    }));
    const started = new Map(all.map(({ id }) => [id, -Infinity]));
    const running = new Set<string>();
    for (let round = 0; round < 10; round++) {
      const turns = giveTurns(
        all.map((one) => ({ ...one, isRunning: running.has(one.id), lastStarted: started.get(one.id) ?? 0 })),
        { maxJobs: 3, maxChurn: 2 },
        round,
      );
      for (const id of turns.stop) running.delete(id);
      for (const id of turns.start) {
        running.add(id);
        started.set(id, round);
      }
    }
    const times = [...started.values()];
    expect(Math.min(...times)).toBeGreaterThanOrEqual(4);
  });
});
