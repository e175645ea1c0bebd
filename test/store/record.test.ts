import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseRecord, type StoredMetadata } from '../../src/store/record.js';

/** Records of one revision as we write them, as PouchDB makes them, and such as are almost so. */
const records = fc
  .record({
    id: fc.oneof(fc.string({ unit: 'binary', minLength: 1 }), fc.constantFrom('a', '"', '\\', '__proto__')),
    generation: fc.integer({ min: 1, max: 1e6 }),
    hash: fc.oneof(fc.stringMatching(/^[0-9a-f]{32}$/), fc.constantFrom('x', '__proto__', '"', 'a","status')),
    mapped: fc.constantFrom(undefined, 'y'),
    winner: fc.constantFrom(undefined, 'y'),
    status: fc.constantFrom('available' as const, 'missing' as const),
    deleted: fc.constantFrom({}, { deleted: true }),
    children: fc.constantFrom(
      [],
      [['z', { status: 'available' }, []]],
      [
        ['z', { status: 'available' }, []],
        ['],"rev_map":{"1-x":7', { status: 'available' }, []],
      ],
    ),
    more: fc.constantFrom(
      {},
      { '2-z': 4 },
      { '2-z,1': 4 },
      { '2-z': 4, ['__proto__']: 5, '2-"': 6 },
      { '2-y': 0.5 },
    ),
    bodySeq: fc.nat(),
    seq: fc.nat(),
    rev: fc.constantFrom(
      {},
      {},
      { rev: '1-of-the-first-write' },
      { conflicts: ['2-z'] },
      { infos: [{ a: [] }] },
    ),
    cached: fc.boolean(),
  })
  .map(
    ({
      id,
      generation,
      hash,
      mapped,
      winner,
      status,
      deleted,
      children,
      more,
      bodySeq,
      seq,
      rev,
      cached,
    }) => {
      const revOf = (other = hash): string => `${String(generation)}-${other}`;
      return JSON.stringify({
        id,
        rev_tree: [{ pos: generation, ids: [hash, { status, ...deleted }, children] }],
        ...rev,
        rev_map: Object.fromEntries([[revOf(mapped), bodySeq], ...Object.entries(more)]),
        ...(cached ? { winningRev: revOf(winner), deleted: 'deleted' in deleted } : {}),
        seq,
      });
    },
  );

test('a record is read as JSON is, however it is read', () => {
  fc.assert(
    fc.property(records, (text) => {
      const stored = JSON.parse(text) as StoredMetadata;
      const { id, seq, tree, bodySeqs } = parseRecord(text);
      expect({ id, seq, tree, bodySeqs: [...bodySeqs] }).toStrictEqual({
        id: stored.id,
        seq: stored.seq,
        tree: stored.rev_tree,
        bodySeqs: Object.entries(stored.rev_map),
      });
    }),
    { numRuns: 2000 },
  );
});
