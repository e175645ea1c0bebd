import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { insert } from '../../src/revtree/insert.js';
import { revsOf, type RevTree } from '../../src/revtree/tree.js';
import { readRecord } from '../../src/store/line-record.js';
import { parseRecord, StoredDocument, type StoredRecord } from '../../src/store/record.js';

/** Texts that look like parts of a record, and any others. */
const word = fc.oneof(
  fc.constantFrom(
    'a',
    'b',
    '[',
    ']',
    '[]',
    '],[',
    '},{',
    '}],',
    '{"',
    '",{',
    '\\',
    '"',
    '\\"',
    '\u2028',
    '\ud83d\ude00',
  ),
  fc.constantFrom(
    '"rev_map":{',
    '},"winningRev":',
    'seq',
    '__proto__',
    '1-a',
    '"a",{"status":"available"},[]]',
  ),
  fc.string({ unit: 'binary' }),
);
const hash = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('a', 'b', 'c') },
  { weight: 1, arbitrary: word },
);

/** Edits that build a tree: mostly each extends the one before, so that many trees are one line. */
const edit = fc.record({
  hash,
  parent: fc.oneof({ weight: 4, arbitrary: fc.constant('last') }, fc.constantFrom('first', 'none', 'gap')),
  deleted: fc.boolean(),
  isKept: fc.boolean(),
});

interface Case {
  readonly text: string;
  /** Revisions to ask about, of which the record may have some. */
  readonly revs: readonly string[];
}

const records: fc.Arbitrary<Case> = fc
  .record({
    id: word,
    edits: fc.array(edit, { minLength: 1, maxLength: 6 }),
    start: fc.constantFrom(0, 1, 7, 123456789012345),
    others: fc.array(hash, { maxLength: 3 }),
    fromPouchDB: fc.boolean(),
  })
  .map(({ id, edits, start, others, fromPouchDB }) => {
    let tree: RevTree = [];
    const paths: { generation: number; hashes: string[] }[] = [];
    const bodySeqs = new Map<string, number>();
    for (const { hash: own, parent, deleted, isKept } of edits) {
      const below = parent === 'first' ? paths[0] : parent === 'none' ? undefined : paths.at(-1);
      const generation = (below?.generation ?? start - 1) + (parent === 'gap' ? 2 : 1);
      const hashes = parent === 'gap' ? [own] : [own, ...(below?.hashes ?? [])];
      paths.push({ generation, hashes });
      ({ tree } = insert(tree, generation, hashes, deleted, 1000));
      if (isKept || parent === 'last') bodySeqs.set(`${String(generation)}-${own}`, paths.length + 40);
    }
    const text = new StoredDocument(id, paths.length + 40, tree, bodySeqs).serialise();
    const generations = [...paths.map(({ generation }) => generation), start + 20];
    return {
      text: fromPouchDB ? text.replace('],"rev_map":', '],"rev":"1-x","rev_map":') : text,
      revs: [
        ...revsOf(tree),
        ...[...others, ...edits.map((one) => one.hash)].flatMap((one) =>
          generations.map((generation) => `${String(generation)}-${one}`),
        ),
      ],
    };
  });

/** Everything that can be asked about a record. */
const answers = (record: StoredRecord, revs: readonly string[]): unknown => ({
  id: record.id,
  seq: record.seq,
  winner: record.winner,
  deleted: record.deleted,
  leaves: record.leaves(),
  leavesInTree: record.leavesInTree(),
  ancestors: [0, 1, 2, 3, 7, 8, 9, 123456789012346].map((generation) => record.possibleAncestors(generation)),
  each: revs.map((rev) => ({
    rev,
    has: record.has(rev),
    isDeleted: record.isDeleted(rev),
    bodySeq: record.bodySeq(rev),
    latest: record.latest(rev),
    revisions: record.revisions(rev),
    info: record.revsInfo(rev),
  })),
  tree: record.tree,
  bodySeqs: [...record.bodySeqs],
});

describe('a record that is read to be asked about', () => {
  test('answers as one that was parsed', () => {
    let unparsed = 0;
    fc.assert(
      fc.property(records, ({ text, revs }) => {
        const read = readRecord(text);
        if (!(read instanceof StoredDocument)) unparsed++;
        expect(answers(read, revs)).toEqual(answers(parseRecord(text), revs));
      }),
      { numRuns: 2000 },
    );
    // Both kinds are met.
    expect(unparsed).toBeGreaterThan(200);
    expect(unparsed).toBeLessThan(1800);
  });

  test('tells the winner by its tree, not by what is noted of it', () => {
    const tree: RevTree = [{ pos: 2, ids: ['a', { status: 'available' }, []] }];
    const text = new StoredDocument('doc', 5, tree, new Map([['2-a', 5]])).serialise();
    const record = readRecord(
      text.replace('"winningRev":"2-a","deleted":false', '"winningRev":"9-x","deleted":true'),
    );
    expect(record).not.toBeInstanceOf(StoredDocument);
    expect({ winner: record.winner, deleted: record.deleted }).toEqual({ winner: '2-a', deleted: false });
  });

  test('may have a history of any length', () => {
    const hashes = Array.from({ length: 20_000 }, (_, at) => `h${String(at)}`);
    const { tree } = insert([], 20_000, hashes, true, 1e6);
    const text = new StoredDocument('doc', 5, tree, new Map([['20000-h0', 5]])).serialise();
    const record = readRecord(text);
    expect(record).not.toBeInstanceOf(StoredDocument);
    expect(record.revisions('20000-h0')).toEqual({ start: 20_000, ids: hashes });
    expect(record.has('1-h19999')).toBe(true);
  });
});
