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
