import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { atOnce } from '../../src/json/turns.js';
import { compareLogs, type HistoryEntry, newLog } from '../../src/replication/checkpoint-log.js';
import { identifying, replicationId, type ReplicationIdentity } from '../../src/replication/id.js';
import type { ReplicationOptions } from '../../src/replication/options.js';

const IDENTITY: ReplicationIdentity = {
  serverUuid: 'uuid',
  source: { name: 'http://a.example/db/', user: 'jan' },
  target: { name: 'http://b.example/db/', user: null },
  options: {},
};

const idOf = (options: ReplicationOptions, more: Partial<ReplicationIdentity> = {}) =>
  replicationId({ ...IDENTITY, ...more, options });

describe('the id of a replication', () => {
  it('is the same at every start, in whatever order things are named', () => {
    expect(idOf({})).toEqual(idOf({}));
    expect(idOf({}).base).toMatch(/^[0-9a-f]{32}$/);
    expect(idOf({ docIds: ['b', 'a', 'a'] })).toEqual(idOf({ docIds: ['a', 'b'] }));
    expect(idOf({ selector: '{"a":1,"b":{"c":1,"d":2}}' })).toEqual(
      idOf({ selector: '{"b":{"d":2,"c":1},"a":1}' }),
    );
    const headers = (...entries: [string, string][]) => ({
      source: { ...IDENTITY.source, headers: Object.fromEntries(entries) },
    });
    expect(idOf({}, headers(['A', '1'], ['b', '2']))).toEqual(idOf({}, headers(['B', '2'], ['a', '1'])));
  });

  it('is the one that checkpoints were written by, whichever and however many documents are named', () => {
    expect(idOf({}).base).toBe('dd5c85bfae550c9ae0b1c86fb65ae929');
    expect(idOf({ docIds: ['b', 'ü', 'a', 'a'] }).base).toBe('f18d37bd830629b1c5b9c988f246afcb');
    const texts = fc.array(fc.string({ unit: 'binary', maxLength: 5 }), { maxLength: 1500, size: 'max' });
    const sides = [
      ['http://a.example/db/', 'jan', []],
      ['http://b.example/db/', null, []],
    ];
    fc.assert(
      fc.property(texts, (docIds) => {
        const ids = [...new Set(docIds)].sort();
        const text = JSON.stringify(['uuid', ...sides, ids, null, null, null, null, null, false]);
        expect(idOf({ docIds }).base).toBe(createHash('md5').update(text).digest('hex'));
      }),
      { numRuns: 50 },
    );
  });

  it('is made bit by bit where many documents are named', () => {
    const docIds = Array.from({ length: 50_000 }, (_, n) => `doc${(n * 7919) % 50_000}`);
    const identity = { ...IDENTITY, options: { docIds } };
    let steps = 0;
    for (const work = identifying(identity); work.next().done !== true;) steps++;
    expect(steps).toBeGreaterThan(1000);
    expect(atOnce(identifying(identity))).toEqual(idOf({ docIds: docIds.toSorted() }));
  });

  it('keeps its base whether or not it is continuous or makes its target', () => {
    const { base } = idOf({});
    expect(idOf({ continuous: true, createTarget: true })).toEqual({
      base,
      full: `${base}+continuous+create_target`,
    });
  });

  it('is another one for whatever sees other documents', () => {
    const all = [
      idOf({}),
      idOf({ docIds: ['a'] }),
      idOf({ docIds: ['b'] }),
      idOf({ selector: '{"a":1}' }),
      idOf({ selector: '{"a":2}' }),
      idOf({ filter: 'd/f' }),
      idOf({ filter: 'd/f' }, { filterCode: 'function(){}' }),
      idOf({ filter: 'd/f', queryParams: { a: 1 } }),
      idOf({ sinceSeq: 5 }),
      idOf({ winningRevsOnly: true }),
      idOf({}, { serverUuid: 'other' }),
      idOf({}, { source: { ...IDENTITY.source, user: 'bo' } }),
      idOf({}, { source: IDENTITY.target, target: IDENTITY.source }),
      idOf({}, { target: { ...IDENTITY.target, headers: { 'x-tenant': '1' } } }),
    ];
    expect(new Set(all.map(({ base }) => base)).size).toBe(all.length);
  });
});

const entry = (session: string, seq: number): HistoryEntry => ({
  session_id: session,
  start_time: '',
  end_time: '',
  start_last_seq: 0,
  end_last_seq: seq,
  recorded_seq: seq,
  missing_checked: 0,
  missing_found: 0,
  docs_read: 0,
  docs_written: 0,
  doc_write_failures: 0,
  bulk_get_docs: 0,
  bulk_get_attempts: 0,
});

/** A log with these sessions, the newest first; each is called as its sequence. */
const log = (...seqs: readonly number[]) => {
  const [first = 0, ...rest] = seqs;
  return newLog(
    entry(`s${first}`, first),
    rest.map((seq) => entry(`s${seq}`, seq)),
  );
};

describe('what two checkpoints have in common', () => {
  it.each([
    ['the newest session of both', log(3, 2, 1), log(3, 2, 1), 3],
    ['the newest of the target, which was put back', log(3, 2, 1), log(2, 1), 2],
    ['the newest of the source, which was put back', log(1), log(3, 2, 1), 1],
    ['a session in the middle of both', log(9, 8, 2, 1), log(7, 6, 2, 1), 2],
    ['nothing where no session is common', log(3, 2), log(5, 4), 0],
    ['nothing where one side has none', log(3, 2), undefined, 0],
    ['nothing where one side is something else', log(3), { session_id: 3, history: 'x' }, 0],
  ])('is %s', (_name, source, target, seq) => {
    expect(compareLogs(source, target).seq).toBe(seq);
    const known = compareLogs(source, target).history.map(({ recorded_seq: recorded }) => recorded);
    expect(known[0] ?? 0).toBe(seq);
  });

  it('is looked for in 50 sessions', () => {
    const history = Array.from({ length: 80 }, (_, n) => entry(`s${80 - n}`, 80 - n));
    expect(newLog(entry('new', 81), history).history).toHaveLength(50);
  });
});
