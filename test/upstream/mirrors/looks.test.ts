import { describe, expect, it } from 'vitest';
import { type Found, Looks } from '../../../src/upstream/mirrors/waking/looks.js';
import { settled, Time } from '../time.js';

class Fixture {
  readonly time = new Time();
  readonly states = new Map<string, Found>();
  readonly looks: { at: number; names: readonly string[] }[] = [];
  readonly changed: string[] = [];
  readonly missing: string[] = [];
  interval = 60_000;
  /** Milliseconds that a look takes. */
  takes = 0;
  readonly it = new Looks({
    names: () => this.names,
    look: async (names) => {
      if (this.takes > 0) await new Promise<void>((resolve) => void this.time.after(this.takes, resolve));
      this.looks.push({ at: this.time.now(), names });
      const found = names.map((name) => [name, this.states.get(name)] as const);
      return new Map(found.filter((pair): pair is [string, Found] => pair[1] !== undefined));
    },
    onChange: (name) => this.changed.push(name),
    onMissing: (name) => this.missing.push(name),
    interval: () => this.interval,
    chance: this.time,
  });

  constructor(public names: string[]) {
    for (const name of names) this.states.set(name, { state: '1', security: '{}' });
  }

  static async started(count: number): Promise<Fixture> {
    const fixture = new Fixture(Array.from({ length: count }, (_, at) => `db${at}`));
    fixture.it.start();
    await fixture.time.pass(0);
    return fixture;
  }

  /** What is told of from now on. */
  forget(): void {
    this.looks.length = this.changed.length = this.missing.length = 0;
  }
}

describe('looks at the databases of an upstream', () => {
  it('begin with all of them, in the order in which they are wanted, some at a time', async () => {
    const fixture = await Fixture.started(250);
    expect(fixture.looks.map(({ names }) => names.length)).toEqual([100, 100, 50]);
    expect(fixture.looks.flatMap(({ names }) => names)).toEqual(fixture.names);
    expect(fixture.changed).toEqual(fixture.names);
  });

  it.each([
    [1, 0],
    [7, 0],
    [59, 0],
    [60, 0],
    [61, 0],
    [1000, 0],
    [1000, 200],
    [3000, 0],
  ])('reach each of %i within the interval, where a look takes %i ms', async (count, takes) => {
    const fixture = await Fixture.started(count);
    fixture.takes = takes;
    const last = new Map(fixture.names.map((name) => [name, 0]));
    let longest = 0;
    await fixture.time.pass(300_000);
    for (const { at, names } of fixture.looks.slice(Math.ceil(count / 100)))
      for (const name of names) {
        longest = Math.max(longest, at - (last.get(name) ?? 0));
        last.set(name, at);
      }
    expect(longest).toBeLessThanOrEqual(60_000);
    expect(Math.min(...last.values())).toBeGreaterThanOrEqual(240_000);
  });

  it('are spread evenly over the interval', async () => {
    const fixture = await Fixture.started(1000);
    fixture.forget();
    await fixture.time.pass(60_000);
    const sizes = fixture.looks.map(({ names }) => names.length);
    expect(new Set(sizes)).toEqual(new Set([56]));
    expect(sizes.length).toBe(20);
  });

  it('tell of a database once for each of its states, also where a cluster answers from several copies', async () => {
    const fixture = await Fixture.started(3);
    fixture.forget();
    for (const state of ['2', '1', '2', '1']) {
      fixture.states.set('db1', { state, security: '{}' });
      await fixture.time.pass(60_000);
    }
    expect(fixture.changed).toEqual(['db1']);
    fixture.states.set('db1', { state: '3', security: '{}' });
    await fixture.time.pass(60_000);
    expect(fixture.changed).toEqual(['db1', 'db1']);
  });

  it('tell of those that are gone, and of those that came later', async () => {
    const fixture = await Fixture.started(2);
    fixture.forget();
    fixture.states.set('db0', 'missing');
    fixture.names.push('late');
    fixture.states.set('late', { state: '1', security: '{}' });
    await fixture.time.pass(60_000);
    expect([fixture.missing[0], fixture.changed]).toEqual(['db0', ['late']]);
    fixture.states.set('db0', { state: 'made anew', security: '{}' });
    await fixture.time.pass(60_000);
    expect(fixture.changed).toEqual(['late', 'db0']);
  });

  it('know nothing new where a look fails, and find the change at the next one', async () => {
    const fixture = await Fixture.started(1);
    fixture.forget();
    fixture.states.delete('db0');
    await fixture.time.pass(60_000);
    expect(fixture.changed).toEqual([]);
    fixture.states.set('db0', { state: '2', security: '{}' });
    await fixture.time.pass(60_000);
    expect(fixture.changed).toEqual(['db0']);
  });

  it('go on in another pace when the interval changes', async () => {
    const fixture = await Fixture.started(10);
    fixture.forget();
    fixture.interval = 600_000;
    fixture.it.reschedule();
    await fixture.time.pass(53_999);
    expect(fixture.looks).toEqual([]);
    fixture.interval = 10_000;
    fixture.it.reschedule();
    await fixture.time.pass(10_000);
    expect(new Set(fixture.looks.flatMap(({ names }) => names)).size).toBe(10);
  });

  it('end when they are stopped, and begin anew with all, of which only what changed meanwhile is told', async () => {
    const fixture = await Fixture.started(5);
    fixture.it.stop();
    fixture.forget();
    await fixture.time.pass(600_000);
    expect([fixture.looks, fixture.time.waits]).toEqual([[], []]);
    fixture.states.set('db3', { state: '2', security: '{}' });
    fixture.it.start();
    await settled();
    expect([fixture.looks.length, fixture.changed]).toEqual([1, ['db3']]);
  });

  it('begin no sooner than their next turn where nothing can have been missed', async () => {
    const fixture = await Fixture.started(5);
    fixture.it.stop();
    fixture.forget();
    fixture.it.resume();
    await fixture.time.pass(10_799);
    expect(fixture.looks).toEqual([]);
    await fixture.time.pass(1);
    expect(fixture.looks.length).toBe(1);
  });
});
