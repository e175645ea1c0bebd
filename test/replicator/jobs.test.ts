import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { configSchema } from '../../src/config/schema.js';
import { CouchError } from '../../src/errors.js';
import type { ReplicationResult } from '../../src/replication/replication.js';
import { type DocumentPlace, Jobs, type JobSpec, type Run } from '../../src/replicator/jobs.js';
import { parseRequest } from '../../src/replicator/request.js';

const RESULT: ReplicationResult = { noChanges: true, startTime: '', endTime: '' };
const SIDES = { source: 'http://a/x', target: 'http://b/y' };

/** A run that ends when the test says so. */
class FakeRun implements Run {
  readonly progress = undefined;
  readonly done: Promise<ReplicationResult>;
  finish: (result: ReplicationResult) => void = () => undefined;
  crash: (error: unknown) => void = () => undefined;
  isStopped = false;
  /** Lets `stop` resolve. */
  letGo: () => void = () => undefined;

  constructor(
    readonly spec: JobSpec,
    readonly pid: string,
  ) {
    this.done = new Promise((resolve, reject) => {
      this.finish = resolve;
      this.crash = reject;
    });
    this.done.catch(() => undefined);
  }

  stop(): Promise<void> {
    this.isStopped = true;
    this.crash(new Error('stopped'));
    return new Promise((resolve) => (this.letGo = resolve));
  }
}

function setUp(replication: Record<string, unknown> = {}) {
  const config = { replication: { ...configSchema.parse({}).replication, ...replication } };
  const runs: FakeRun[] = [];
  const completed: DocumentPlace[] = [];
  const lines: unknown[] = [];
  const jobs = new Jobs({
    config,
    log: { info: () => undefined, warn: (line: unknown) => lines.push(line) },
    run: (spec) => {
      const run = new FakeRun(spec, `<0.${runs.length}.0>`);
      runs.push(run);
      return run;
    },
    onCompleted: (place) => completed.push(place),
  });
  const add = (
    id: string,
    members: Record<string, unknown> = {},
    document: DocumentPlace | null = place(id),
  ) =>
    jobs.add({
      id: { base: id, full: id },
      request: parseRequest({ ...SIDES, ...members }, config.replication),
      as: { name: 'jan', roles: [] },
      user: 'jan',
      hasAccount: false,
      document: document ?? undefined,
      startTime: Date.now(),
    });
  return {
    jobs,
    runs,
    completed,
    config,
    lines,
    add,
    /** Ids of those that run. */
    running: () =>
      runs
        .filter((run) => jobs.get(run.spec.id.full)?.pid === run.pid && !run.isStopped)
        .map(({ spec }) => spec.id.full),
    stateOf: (id: string) => jobs.get(id)?.job.state,
    historyOf: (id: string) => jobs.get(id)?.history.map(({ type }) => type),
    last: (id: string) => {
      const run = runs.findLast(({ spec }) => spec.id.full === id);
      if (run === undefined) throw new Error(`${id} never ran`);
      return run;
    },
  };
}

const place = (id: string): DocumentPlace => ({ database: '_replicator', id });
const CONTINUOUS = { continuous: true };

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Lets everything happen that is due now. */
const settle = (milliseconds = 0) => vi.advanceTimersByTimeAsync(milliseconds);

describe('the scheduler', () => {
  it('runs no more at once than may, and the next when one is over', async () => {
    const it = setUp({ maxJobs: 2 });
    for (const id of ['a', 'b', 'c']) it.add(id);
    await settle();
    expect(it.running()).toEqual(['a', 'b']);
    expect(it.stateOf('c')).toBe('pending');
    it.last('a').finish(RESULT);
    await settle();
    expect(it.running()).toEqual(['b', 'c']);
    expect(it.completed).toEqual([place('a')]);
    expect(it.jobs.get('a')).toBeUndefined();
  });

  it('follows the configuration when it allows more or less', async () => {
    const it = setUp({ maxJobs: 1 });
    for (const id of ['a', 'b']) it.add(id, CONTINUOUS);
    await settle();
    it.config.replication.maxJobs = 2;
    it.jobs.schedule();
    await settle();
    expect(it.running()).toEqual(['a', 'b']);
    it.config.replication.maxJobs = 0;
    it.jobs.schedule();
    await settle();
    expect(it.running()).toEqual([]);
  });

  it('gives places of continuous ones on after each interval, as many as may be', async () => {
    const it = setUp({ maxJobs: 2, maxChurn: 1, interval: 1000 });
    for (const id of ['a', 'b', 'c', 'd']) it.add(id, CONTINUOUS);
    await settle();
    expect(it.running()).toEqual(['a', 'b']);
    await settle(999);
    expect(it.running()).toEqual(['a', 'b']);
    await settle(1);
    expect(it.running()).toEqual(['b', 'c']);
    expect(it.historyOf('a')).toEqual(['stopped', 'started', 'added']);
    it.last('a').letGo();
    await settle(1000);
    expect(it.running()).toEqual(['c', 'd']);
    it.last('b').letGo();
    await settle(1000);
    expect(it.running()).toEqual(['d', 'a']);
  });

  it('does not begin anew what has still to end', async () => {
    const it = setUp({ maxJobs: 1, interval: 1000 });
    for (const id of ['a', 'b']) it.add(id, CONTINUOUS);
    await settle(1000);
    expect(it.running()).toEqual(['b']);
    await settle(5000);
    expect(it.running()).toEqual(['b']);
    it.last('a').letGo();
    await settle();
    expect(it.running()).toEqual(['a']);
  });

  it('begins what was removed and asked for again when nothing of it runs any more', async () => {
    const it = setUp();
    it.add('a');
    await settle();
    const first = it.last('a');
    const removed = it.jobs.remove('a');
    it.add('a');
    it.add('b');
    await settle();
    expect([it.last('a') === first, it.stateOf('a'), it.running()]).toEqual([true, 'pending', ['b']]);
    first.letGo();
    await removed;
    await settle();
    expect(it.running()).toEqual(['b', 'a']);
  });

  it('lets those run to their end that have one', async () => {
    const it = setUp({ maxJobs: 1, interval: 1000 });
    it.add('a');
    it.add('b');
    await settle(10_000);
    expect(it.running()).toEqual(['a']);
  });

  it('sleeps while there is nothing to do', async () => {
    const it = setUp();
    for (const id of ['a', 'b']) it.add(id, CONTINUOUS);
    await settle();
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('a replication that crashes', () => {
  it('is tried again after twice as long each time, as long as its document is there', async () => {
    const it = setUp();
    it.add('a');
    await settle();
    for (const [count, seconds] of [30, 60, 120].entries()) {
      it.last('a').crash(new CouchError(500, 'db_not_found', 'could not open http://a/x/'));
      await settle();
      expect(it.jobs.get('a')?.job).toEqual({
        state: 'crashing',
        errorCount: count + 1,
        reason: 'db_not_found: could not open http://a/x/',
      });
      await settle(seconds * 1000 - 1);
      expect(it.running()).toEqual([]);
      await settle(1);
      expect(it.running()).toEqual(['a']);
    }
  });

  it('is never left alone for longer than nine hours', async () => {
    const it = setUp({ healthThreshold: 1_000_000_000 });
    it.add('a');
    for (let crashes = 0; crashes < 20; crashes++) {
      await settle(9 * 3_600_000);
      expect(it.running()).toEqual(['a']);
      it.last('a').crash(new CouchError(500, 'x', 'y'));
    }
  });

  it('begins anew with short waits once it ran well for long', async () => {
    const it = setUp({ healthThreshold: 100 });
    it.add('a');
    await settle();
    it.last('a').crash(new CouchError(500, 'x', 'y'));
    await settle(30_000);
    await settle(100_001);
    it.last('a').crash(new CouchError(500, 'x', 'y'));
    await settle();
    expect(it.jobs.get('a')?.job.errorCount).toBe(1);
    await settle(30_000);
    expect(it.running()).toEqual(['a']);
  });

  it('has a history that is bounded, the newest first, with the reasons', async () => {
    const it = setUp({ maxHistory: 3 });
    it.add('a');
    await settle();
    expect(it.historyOf('a')).toEqual(['started', 'added']);
    it.last('a').crash(new CouchError(500, 'x', 'y'));
    await settle(30_000);
    expect(it.jobs.get('a')?.history).toEqual([
      { type: 'started', at: expect.any(Number) as number },
      { type: 'crashed', at: expect.any(Number) as number, reason: 'x: y' },
      { type: 'started', at: expect.any(Number) as number },
    ]);
  });

  it('makes place for others meanwhile', async () => {
    const it = setUp({ maxJobs: 1 });
    it.add('a');
    it.add('b');
    await settle();
    it.last('a').crash(new CouchError(500, 'x', 'y'));
    await settle();
    expect(it.running()).toEqual(['b']);
  });

  it('is forgotten where no document asked for it, and who waits is told', async () => {
    const it = setUp();
    it.add('a', {}, null);
    const result = it.jobs.result('a');
    await settle();
    it.last('a').crash(new CouchError(500, 'x', 'y'));
    await expect(result).rejects.toMatchObject({ error: 'x' });
    expect(it.jobs.list()).toEqual([]);
  });

  it('keeps the beginning of a long reason', async () => {
    const it = setUp();
    it.add('a');
    await settle();
    it.last('a').crash(new CouchError(500, 'error', 'x'.repeat(100_000)));
    await settle();
    expect(it.jobs.get('a')?.history[0]?.reason).toMatch(/^error: x{900,1000}$/);
  });

  it('may be one that must not go on', async () => {
    const it = setUp();
    it.add('a');
    await settle();
    it.jobs.fail('a', new CouchError(403, 'forbidden', 'not any more'));
    await settle();
    expect([it.stateOf('a'), it.last('a').isStopped]).toEqual(['crashing', true]);
    it.last('a').letGo();
    await settle(30_000);
    expect(it.stateOf('a')).toBe('running');
  });

  it('shows nothing of a defect here but in the log', async () => {
    const it = setUp();
    it.add('a');
    await settle();
    it.last('a').crash(new TypeError('a secret'));
    await settle();
    expect(it.jobs.get('a')?.job.reason).toBe('internal_server_error: the server failed');
    expect(it.lines).toEqual([expect.objectContaining({ err: expect.any(TypeError) as unknown })]);
  });
});

describe('a replication that is removed', () => {
  it('is stopped, and who waits for it is told', async () => {
    const it = setUp();
    it.add('a');
    const result = it.jobs.result('a');
    result.catch(() => undefined);
    await settle();
    const removal = it.jobs.remove('a');
    expect(it.jobs.get('a')).toBeUndefined();
    expect(it.last('a').isStopped).toBe(true);
    await expect(result).rejects.toMatchObject({ status: 500 });
    let isOver = false;
    void removal.then(() => (isOver = true));
    await settle();
    expect(isOver).toBe(false);
    it.last('a').letGo();
    expect(await removal).toBe(true);
    expect(await it.jobs.remove('a')).toBe(false);
  });

  it('is stopped with all others when the server stops, which waits for that', async () => {
    const it = setUp({ maxJobs: 1 });
    it.add('a');
    it.add('b');
    const results = ['a', 'b'].map((id) => it.jobs.result(id));
    for (const result of results) result.catch(() => undefined);
    await settle();
    let isOver = false;
    const closing = it.jobs.close().then(() => (isOver = true));
    for (const result of results) await expect(result).rejects.toMatchObject({ status: 503 });
    expect(isOver).toBe(false);
    it.last('a').letGo();
    await closing;
    // That is no failure.
    expect(it.lines).toEqual([]);
    it.add('c');
    await settle();
    expect(it.jobs.list()).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });
});
