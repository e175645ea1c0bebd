import { expect, test } from 'vitest';
import { Watched } from '../../src/conflicts/watched.js';

const FAR = { from: 3, at: Date.now() + 3_600_000 };

/** One whose conflicts are being looked at. */
function looking(): Watched {
  const watched = new Watched('db', () => undefined);
  expect(watched.isWanted()).toBe(true);
  watched.begin();
  return watched;
}

test('what a look finds to be for later is looked at again later', () => {
  const watched = looking();
  watched.later(FAR);
  expect(watched.end()).toBe(false);
  watched.forget();
});

test('but at once where that was wanted while the look was under way', () => {
  const watched = looking();
  watched.wakeNow();
  watched.later(FAR);
  expect(watched.end()).toBe(true);
  watched.begin();
  expect(watched.end()).toBe(false);
});
