import { describe, expect, it } from 'vitest';
import { type Finding, Monitor } from '../../src/upstream/monitor.js';
import { settled, Time } from './time.js';

const TIMING = { firstRetry: 1000, longestRetry: 300_000, probeInterval: 30_000 };
const AWAY: Finding = { type: 'lost', reason: 'away' };
const UNREACHABLE: Finding = { ...AWAY, isUnreachable: true };

class Fixture {
  readonly time = new Time();
  found: Finding = { type: 'right' };
  probes = 0;
  /** What a knock finds. */
  knocked: Promise<boolean> = Promise.resolve(false);
  readonly knocks: AbortSignal[] = [];
  readonly states: string[] = [];
  readonly monitor = new Monitor({
    timing: TIMING,
    chance: this.time,
    probe: () => {
      this.probes++;
      return Promise.resolve(this.found);
    },
    knock: (signal) => {
      this.knocks.push(signal);
      return this.knocked;
    },
    onChange: (link) => this.states.push(link.state),
  });

  /** Without a connection for so long that probes come minutes apart. */
  static async unreachable(): Promise<Fixture> {
    const it = await Fixture.started(UNREACHABLE);
    await it.time.pass(860_000);
    it.knocks.length = it.probes = 0;
    return it;
  }

  static async started(found: Finding = { type: 'right' }): Promise<Fixture> {
    const it = new Fixture();
    it.found = found;
    it.monitor.start();
    await settled();
    return it;
  }

  get state(): string {
    return this.monitor.link.state;
  }
}

describe('the monitor of a link', () => {
  it('looks at once, and then now and then while nothing is heard', async () => {
    const it = await Fixture.started();
    expect([it.state, it.probes, it.time.waits]).toEqual(['online', 1, [30_000]]);
    await it.time.pass(60_000);
    expect(it.probes).toBe(3);
    await it.time.pass(20_000);
    it.monitor.answered();
    await it.time.pass(29_000);
    expect(it.probes).toBe(3);
    await it.time.pass(1000);
    expect(it.probes).toBe(4);
  });

  it('waits longer each time while the upstream is away, by chance between nothing and twice as long', async () => {
    const it = await Fixture.started(AWAY);
    const waits: number[] = [];
    for (let round = 0; round < 12; round++) {
      const [wait = 0] = it.time.waits;
      waits.push(wait);
      await it.time.pass(wait);
    }
    await settled();
    const longest = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300];
    expect(waits).toEqual(longest.map((seconds) => seconds * 500));
    it.time.luck = 0;
    it.monitor.restart();
    await settled();
    expect(it.time.waits).toEqual([0]);
  });

  it('does not ask before the upstream wants to be asked again', async () => {
    const it = await Fixture.started({ ...AWAY, retryAfter: 20 });
    expect(it.time.waits).toEqual([20_000]);
    expect(it.monitor.refusal()).toBe(20);
    await it.time.pass(19_999);
    expect([it.probes, it.monitor.refusal()]).toEqual([1, 1]);
    it.found = { type: 'right' };
    await it.time.pass(1);
    await settled();
    expect(it.state).toBe('online');
  });

  it('does not leave it alone for longer than the longest wait, whatever it wants', async () => {
    const it = await Fixture.started({ ...AWAY, retryAfter: 86_400 });
    expect(it.time.waits).toEqual([300_000]);
    await it.time.pass(299_999);
    expect(it.monitor.refusal()).toBe(1);
  });

  it('looks soon, once, when the account is in doubt, once more when it is refused, and seldom after that', async () => {
    const it = await Fixture.started();
    it.found = { type: 'refused', reason: 'no such account' };
    for (let time = 0; time < 100; time++) it.monitor.doubted();
    await it.time.pass(1000);
    expect([it.state, it.probes]).toEqual(['unauthorised', 2]);
    for (let time = 0; time < 100; time++) it.monitor.doubted();
    await it.time.pass(1000);
    expect(it.probes).toBe(3);
    for (let time = 0; time < 100; time++) it.monitor.doubted();
    await it.time.pass(100_000);
    expect([it.state, it.probes]).toEqual(['unauthorised', 3]);
  });

  it('looks at once when a request proves that the upstream is back', async () => {
    const it = await Fixture.started(AWAY);
    for (let round = 0; round < 8; round++) await it.time.pass(it.time.waits[0] ?? 0);
    await settled();
    expect(it.time.waits[0]).toBeGreaterThan(60_000);
    const before = it.probes;
    it.found = { type: 'right' };
    expect(it.monitor.refusal()).toBeUndefined();
    it.monitor.answered();
    await settled();
    expect([it.state, it.probes]).toEqual(['online', before + 1]);
    expect(it.states.slice(-2)).toEqual(['connecting', 'online']);
  });

  it('lets one request through now and then while the upstream is away, and says to others when to come back', async () => {
    const it = await Fixture.started(AWAY);
    for (let round = 0; round < 8; round++) await it.time.pass(it.time.waits[0] ?? 0);
    const asked = (): boolean[] => [1, 2, 3].map(() => it.monitor.refusal() === undefined);
    expect(asked()).toEqual([true, false, false]);
    it.monitor.lost('still away');
    expect(asked()).toEqual([false, false, false]);
    expect(it.monitor.refusal()).toBe(30);
    await it.time.pass(1000);
    expect(asked()).toEqual([true, false, false]);
  });

  it('is degraded while requests fail and probes do not, without a storm of probes', async () => {
    const it = await Fixture.started();
    await it.time.pass(10_000);
    for (let failure = 0; failure < 100; failure++) it.monitor.failed('no answer in time');
    await it.time.pass(0);
    expect([it.state, it.probes]).toEqual(['degraded', 2]);
    for (let second = 0; second < 10; second++) {
      for (let failure = 0; failure < 100; failure++) it.monitor.failed('no answer in time');
      await it.time.pass(1000);
    }
    expect(it.state).toBe('degraded');
    expect(it.probes).toBeLessThan(15);
    expect(it.monitor.refusal()).toBeUndefined();
    await it.time.pass(30_000);
    expect(it.state).toBe('online');
  });

  it('is not offline for single probes that fail as other requests do, while some are answered', async () => {
    const it = await Fixture.started();
    const reset: Finding = { ...AWAY, isReached: true };
    for (const [found, state] of [
      [reset, 'degraded'],
      [reset, 'degraded'],
      [{ type: 'right' }, 'degraded'],
      [reset, 'degraded'],
      [reset, 'degraded'],
      [reset, 'offline'],
    ] as const) {
      it.found = found;
      await it.time.pass(1000);
      it.monitor.answered();
      it.monitor.failed('the connection failed (ECONNRESET)');
      await it.time.pass(0);
      expect(it.state).toBe(state);
    }
    it.found = { type: 'right' };
    await it.time.pass(1000);
    expect(it.state).toBe('online');
  });

  it.each([
    ['that finds no connection', AWAY, 0],
    ['after which nothing else is answered', { ...AWAY, isReached: true }, 1001],
    ['whose answer says when to come back', { ...AWAY, isReached: true, retryAfter: 5 }, 0],
  ] as const)('is offline after one probe %s', async (_, found, quiet) => {
    const it = await Fixture.started();
    await it.time.pass(2000);
    it.monitor.answered();
    it.found = found;
    await it.time.pass(quiet);
    it.monitor.failed('the connection failed (ECONNRESET)');
    await it.time.pass(0);
    expect(it.state).toBe('offline');
  });

  it('is offline at once when a request finds no connection, and stays so until a probe finds everything right', async () => {
    const it = await Fixture.started();
    it.monitor.lost('the connection failed (ECONNREFUSED)');
    expect(it.monitor.link).toMatchObject({ state: 'offline', failures: 1 });
    it.found = { type: 'refused', reason: 'no such account' };
    await it.time.pass(500);
    await settled();
    expect([it.state, it.monitor.refusal()]).toEqual(['unauthorised', undefined]);
    // Wrong passwords are counted.
    expect(it.time.waits).toEqual([225_000]);
    it.found = { type: 'right' };
    await it.time.pass(225_000);
    expect(it.state).toBe('online');
  });

  it('knocks all the time while there is no connection, and looks at once when a knock is taken', async () => {
    const it = await Fixture.unreachable();
    expect(it.monitor.nextProbe).toBeGreaterThan(60_000);
    await it.time.pass(10_000);
    expect([it.knocks.length, it.probes]).toEqual([10, 0]);
    it.found = { type: 'right' };
    it.knocked = Promise.resolve(true);
    await it.time.pass(1000);
    expect([it.state, it.probes, it.knocks.length]).toEqual(['online', 1, 11]);
    await it.time.pass(20_000);
    expect(it.knocks.length).toBe(11);
  });

  it.each([
    [0, 500],
    [0.999, 1499],
  ])('knocks when it is lucky by %d after %d milliseconds, however long a knock takes', async (luck, gap) => {
    const it = await Fixture.unreachable();
    it.time.luck = luck;
    await it.time.pass(5000);
    let answer: (isTaken: boolean) => void = () => undefined;
    it.knocked = new Promise((resolve) => (answer = resolve));
    await it.time.pass(1500);
    const { length } = it.knocks;
    await it.time.pass(10_000);
    expect(it.knocks.length).toBe(length);
    it.knocked = Promise.resolve(false);
    answer(false);
    await it.time.pass(0);
    expect(it.knocks.length).toBe(length + 1);
    await it.time.pass(gap - 1);
    expect(it.knocks.length).toBe(length + 1);
    await it.time.pass(1);
    expect(it.knocks.length).toBe(length + 2);
  });

  it.each([
    ['answers that it is not well', { ...AWAY, isReached: true }],
    ['is something else', { ...AWAY, isOther: true }],
    ['has a certificate that is not trusted', AWAY],
    ['refuses the account', { type: 'refused', reason: 'no such account' }],
  ] satisfies [string, Finding][])(
    'knocks no more at one that %s, until there is no connection',
    async (_, found) => {
      const it = await Fixture.unreachable();
      it.knocked = Promise.resolve(true);
      it.found = found;
      await it.time.pass(1000);
      expect([it.probes, it.knocks.length]).toEqual([1, 1]);
      await it.time.pass(100_000);
      expect([it.probes, it.knocks.length]).toEqual([1, 1]);
      it.knocked = Promise.resolve(false);
      it.monitor.lost('a certificate that is not trusted');
      await it.time.pass(10_000);
      expect(it.knocks.length).toBe(1);
      it.monitor.lost('the connection failed (ECONNREFUSED)', true);
      await it.time.pass(10_000);
      expect(it.knocks.length).toBeGreaterThan(9);
    },
  );

  it('does not knock before the upstream wants to be asked again', async () => {
    const it = await Fixture.started({ ...AWAY, retryAfter: 20 });
    it.monitor.lost('the connection failed (ECONNREFUSED)', true);
    it.found = UNREACHABLE;
    await it.time.pass(19_999);
    expect([it.probes, it.knocks.length]).toEqual([1, 0]);
    await it.time.pass(3000);
    expect(it.knocks.length).toBeGreaterThan(0);
  });

  it('sends no storm of probes where knocks are taken and requests are not', async () => {
    const it = await Fixture.unreachable();
    it.time.luck = 0.1;
    it.knocked = Promise.resolve(true);
    await it.time.pass(10_000);
    expect(it.probes).toBeLessThan(12);
  });

  it.each([
    ['closed', (monitor: Monitor) => monitor.close()],
    ['to begin anew', (monitor: Monitor) => monitor.restart()],
  ])('ends a knock that is under way when it is %s', async (_, end) => {
    const it = await Fixture.unreachable();
    let answer: (isTaken: boolean) => void = () => undefined;
    it.knocked = new Promise((resolve) => (answer = resolve));
    await it.time.pass(1000);
    it.found = { type: 'right' };
    end(it.monitor);
    await settled();
    const { probes } = it;
    expect(it.knocks.map(({ aborted }) => aborted)).toEqual([true]);
    answer(true);
    await it.time.pass(20_000);
    expect([it.probes, it.knocks.length]).toEqual([probes, 1]);
  });

  it('has no timer and says nothing once it is closed', async () => {
    const it = await Fixture.started();
    const { length } = it.states;
    it.monitor.close();
    it.monitor.lost('away', true);
    it.monitor.failed('no answer');
    it.monitor.answered();
    await settled();
    expect([it.time.waits, it.states.length]).toEqual([[], length]);
  });
});
