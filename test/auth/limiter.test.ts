import { expect, test } from 'vitest';
import { Limiter } from '../../src/auth/limiter.js';

const full = (): Error => new Error('full');

test('runs as many as allowed, the others in the order they came', async () => {
  const limiter = new Limiter(2, 10, full);
  const started: number[] = [];
  const finish: (() => void)[] = [];
  const all = [0, 1, 2, 3].map((n) =>
    limiter.run(() => {
      started.push(n);
      return new Promise<number>((resolve) => finish.push(() => resolve(n)));
    }),
  );
  await Promise.resolve();
  expect(started).toEqual([0, 1]);
  finish[1]?.();
  await all[1];
  await expect.poll(() => started).toEqual([0, 1, 2]);
  finish[0]?.();
  await expect.poll(() => started).toEqual([0, 1, 2, 3]);
  finish.forEach((f) => {
    f();
  });
  expect(await Promise.all(all)).toEqual([0, 1, 2, 3]);
});

test('refuses what would wait behind too many, and a failed task gives its place back', async () => {
  const limiter = new Limiter(1, 1, full);
  let fail: (reason: Error) => void = () => undefined;
  const failing = limiter.run(
    () =>
      new Promise<never>((_resolve, reject) => {
        fail = reject;
      }),
  );
  const waiting = limiter.run(() => Promise.resolve('waited'));
  await expect(limiter.run(() => Promise.resolve('refused'))).rejects.toThrow('full');
  fail(new Error('task'));
  await expect(failing).rejects.toThrow('task');
  expect(await waiting).toBe('waited');
  expect(await limiter.run(() => Promise.resolve('later'))).toBe('later');
});

/** Tasks that end when they are told to. @returns who has begun, in order */
function crowd(limiter: Limiter): {
  begun: string[];
  add: (party: string, name: string) => Promise<void>;
  endOne: () => void;
} {
  const begun: string[] = [];
  const ends: (() => void)[] = [];
  const add = (party: string, name: string): Promise<void> =>
    limiter.run(() => {
      begun.push(name);
      return new Promise<void>((resolve) => ends.push(resolve));
    }, party);
  return { begun, add, endOne: () => ends.shift()?.() };
}

test('parties take turns, however many tasks one of them has', async () => {
  const { begun, add, endOne } = crowd(new Limiter(1, 100, full));
  const all = ['a1', 'a2', 'a3', 'a4', 'b1', 'b2', 'c1'].map((name) => add(name.slice(0, 1), name));
  for (let n = 1; n <= all.length; n++) {
    await expect.poll(() => begun.length).toBe(n);
    endOne();
  }
  await Promise.all(all);
  expect(begun).toEqual(['a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4']);
});

test('where too many wait the party with the most gives way to others, and to none with as many', async () => {
  const { begun, add, endOne } = crowd(new Limiter(1, 4, full));
  const names = ['a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'b1', 'b2', 'b3'];
  const all = Promise.allSettled(names.map((name) => add(name.slice(0, 1), name)));
  for (let n = 1; n <= 5; n++) {
    await expect.poll(() => begun.length).toBe(n);
    endOne();
  }
  const refused = (await all).flatMap(({ status }, at) => (status === 'rejected' ? [names[at]] : []));
  expect(begun).toEqual(['a1', 'a2', 'b1', 'a3', 'b2']);
  expect(refused).toEqual(['a4', 'a5', 'a6', 'b3']);
});

test('another number holds for what comes next, and those that wait', async () => {
  const limiter = new Limiter(1, 100, full);
  const { begun, add, endOne } = crowd(limiter);
  const all = ['a', 'b', 'c', 'd', 'e'].map((name) => add('', name));
  limiter.allow(3);
  await expect.poll(() => begun).toEqual(['a', 'b', 'c']);
  limiter.allow(1);
  endOne();
  endOne();
  await Promise.all(all.slice(0, 2));
  expect(begun).toEqual(['a', 'b', 'c']);
  endOne();
  await expect.poll(() => begun).toEqual(['a', 'b', 'c', 'd']);
  endOne();
  await expect.poll(() => begun).toEqual(['a', 'b', 'c', 'd', 'e']);
  endOne();
  await Promise.all(all);
});
