import { setImmediate } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Allowance } from '../../src/conflicts/allowance.js';

/** Works that end when they are told to, and which of them have begun. */
function works(allowance: Allowance) {
  const begun: string[] = [];
  const begin = (name: string, amount: number): (() => void) => {
    let end = (): void => undefined;
    void allowance.use(amount, async (hasWaited) => {
      begun.push(hasWaited ? `${name} late` : name);
      await new Promise<void>((resolve) => (end = resolve));
    });
    return () => {
      end();
    };
  };
  return { begun, begin };
}

test('works run side by side as long as there is enough for all, in their order', async () => {
  const { begun, begin } = works(new Allowance(10));
  const [a] = [begin('a', 4), begin('b', 4)];
  const c = begin('c', 3);
  // There would be room for it, but it is not its turn.
  begin('d', 1);
  expect(begun).toEqual(['a', 'b']);
  a();
  await setImmediate();
  expect(begun).toEqual(['a', 'b', 'c late', 'd late']);
  c();
});

test('what needs more than there is runs alone', async () => {
  const { begun, begin } = works(new Allowance(10));
  const a = begin('a', 1);
  const b = begin('b', 1000);
  begin('c', 1);
  expect(begun).toEqual(['a']);
  a();
  await setImmediate();
  expect(begun).toEqual(['a', 'b late']);
  b();
  await setImmediate();
  expect(begun).toEqual(['a', 'b late', 'c late']);
});

test('what fails gives back what it had', async () => {
  const allowance = new Allowance(1);
  const failing = allowance.use(1, () => Promise.reject(new Error('on purpose')));
  const next = allowance.use(1, (hasWaited) => Promise.resolve(hasWaited));
  await expect(failing).rejects.toThrow('on purpose');
  expect(await next).toBe(true);
});
