import fc from 'fast-check';
import { expect, it } from 'vitest';
import { sorting } from '../../src/json/sort.js';
import { atOnce } from '../../src/json/turns.js';

it('sorts as arrays do, items with equal places in their order', () => {
  const lengths = fc.oneof(fc.nat(10), fc.nat(2000));
  fc.assert(
    fc.property(lengths, fc.integer({ min: 1, max: 5000 }), fc.nat(), (length, places, seed) => {
      const items = Array.from({ length }, (_, nth) => ({ place: ((nth + seed) * 7919) % places, nth }));
      const compare = (a: { place: number }, b: { place: number }): number => a.place - b.place;
      expect(atOnce(sorting(items, compare))).toEqual(items.toSorted(compare));
    }),
    { numRuns: 50 },
  );
});
