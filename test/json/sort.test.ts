import fc from 'fast-check';
import { expect, it } from 'vitest';
import { sorting, sortingDistinct } from '../../src/json/sort.js';
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

it('sorts texts as arrays do without a comparison, each once', () => {
  const texts = fc.array(fc.string({ unit: 'grapheme', maxLength: 3 }), { maxLength: 2000, size: 'max' });
  fc.assert(
    fc.property(texts, (given) => {
      const distinct = [...new Set(given)].sort();
      expect(atOnce(sortingDistinct(given))).toEqual(distinct);
      // What is sorted is passed on as it is.
      expect(atOnce(sortingDistinct(distinct))).toBe(distinct);
    }),
    { numRuns: 50 },
  );
});
