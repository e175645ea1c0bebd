import { ClassicLevel } from 'classic-level';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { type BranchedRecord, RecentDocuments, RecentTexts } from '../../src/store/recent.js';
import { StoredDocument } from '../../src/store/record.js';
import { newFolder, openDatabase, put, replicate, revOf } from '../support/store.js';
import { verified } from '../support/verify.js';

/** A disk whose reads end when the test says so. */
class SlowDisk {
  readonly records = new Map<string, string>();
  readonly #waiting: (() => void)[] = [];

  readonly read = async (ids: readonly string[]): Promise<(string | undefined)[]> => {
    const found = ids.map((id) => this.records.get(id));
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return found;
  };

  /** Ends one of the reads that are under way. */
  end(at: number): void {
    this.#waiting.splice(at % Math.max(1, this.#waiting.length), 1)[0]?.();
  }

  endAll(): void {
    while (this.#waiting.length > 0) this.end(0);
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A record that is told by its id. */
const parsedText = (text = ''): BranchedRecord => ({
  record: new StoredDocument(text, 0, [], new Map()),
  bytes: 1,
});

/** `write` takes a write to its next stage: it begins, is on the disk at some moment, and then its caller hears of it. */
type Step = 'read' | 'parse' | 'write' | number;

const steps: fc.Arbitrary<Step> = fc.oneof(
  fc.constantFrom<Step>('read', 'parse', 'write'),
  // Which of the reads that are under way ends.
  fc.nat({ max: 3 }),
);

describe('what was read just now', () => {
  test('is never older than the disk, however reads and writes fall together', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(steps, { maxLength: 30 }), async (plan) => {
        const disk = new SlowDisk();
        const recent = new RecentDocuments(new RecentTexts(), () => 0);
        disk.records.set('a', '0');
        let stage = 0;
        for (const step of plan) {
          if (step === 'read') void recent.records(['a'], disk.read);
          else if (step === 'parse') recent.putBranched('a', parsedText(disk.records.get('a')));
          else if (step === 'write') {
            stage++;
            if (stage % 3 === 1) recent.beginWrite(['a']);
            else if (stage % 3 === 2) disk.records.set('a', String(stage));
            else recent.endWrite();
          } else disk.end(step);
          await settled();
          expect([undefined, disk.records.get('a')]).toContain(recent.branched('a')?.record.id);
          const now = await recent.records(['a'], (ids) =>
            Promise.resolve(ids.map((id) => disk.records.get(id))),
          );
          expect(now).toEqual([disk.records.get('a')]);
        }
        disk.endAll();
      }),
    );
  });

  test('is not read again, if the document is among the newest', async () => {
    const recent = new RecentDocuments(new RecentTexts(), () => 20_000);
    const asked: (string | number)[][] = [];
    const read = (keys: readonly (string | number)[]): Promise<string[]> => {
      asked.push([...keys]);
      return Promise.resolve(
        keys.map((key) => `{"id":"${String(key)}","seq":${key === 'old' ? '10000' : '10001'}}`),
      );
    };
    const text = (id: string | number): string => `{"id":"${String(id)}","seq":10001}`;
    expect(await recent.records(['a', 'b'], read)).toEqual([text('a'), text('b')]);
    expect(await recent.records(['b', 'c', 'a'], read)).toEqual([text('b'), text('c'), text('a')]);
    expect(await recent.bodies([10_001, 10_002], read)).toEqual([text(10_001), text(10_002)]);
    expect(await recent.bodies([10_002, 10_001], read)).toEqual([text(10_002), text(10_001)]);
    expect(asked).toEqual([['a', 'b'], ['c'], [10_001, 10_002]]);
    asked.length = 0;
    for (let n = 0; n < 2; n++) {
      await recent.records(['old'], read);
      await recent.bodies([10_000], read);
    }
    expect(asked).toEqual([['old'], [10_000], ['old'], [10_000]]);
  });

  test('has a limit for all databases together, and what is asked for stays longest', async () => {
    const texts = new RecentTexts(10_000);
    const databases = Array.from({ length: 50 }, () => new RecentDocuments(texts, () => 0));
    const known = async (database: RecentDocuments | undefined, seqs: readonly number[]): Promise<number> => {
      let missed = 0;
      await database?.bodies(seqs, (unknown) => {
        missed = unknown.length;
        return Promise.resolve(unknown.map(() => undefined));
      });
      return seqs.length - missed;
    };
    const all = Array.from({ length: 100 }, (_, seq) => seq);
    const hot = new RecentDocuments(texts, () => 0);
    const read = (seqs: number[]): Promise<string[]> => Promise.resolve(seqs.map(() => 'x'.repeat(100)));
    await hot.bodies([0], read);
    for (const database of databases) {
      await database.bodies(all.slice(0, 20), read);
      expect(await known(hot, [0])).toBe(1);
    }
    let kept = 0;
    for (const database of databases) kept += await known(database, all);
    expect(kept).toBeGreaterThan(90);
    expect(kept * 100).toBeLessThanOrEqual(2 * 10_000 + 100);
  });
});

describe('a database', () => {
  test('shows what was written, however often the document was read before', async () => {
    const db = await openDatabase(await newFolder());
    let rev: string | undefined;
    for (let n = 0; n < 50; n++) {
      const writing = put(db, { _id: 'a', ...(rev !== undefined && { _rev: rev }), n });
      const reads = Promise.all([db.getMany(['a']), db.getMany(['a'])]);
      rev = revOf((await writing)[0]);
      await reads;
      const [record] = await db.getMany(['a']);
      expect(record?.winner).toBe(rev);
      const [text] = await db.readMany([record && { record, rev: record.winner }]);
      expect(JSON.parse(text ?? '')).toMatchObject({ n });
    }
  });

  test('shows what becomes of branches, however often they were looked at before', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder);
    const look = (): readonly string[] => [...(db.get('a')?.leafRevs() ?? [])].sort();
    const leaves = ['2-a', '2-b'];
    await replicate(db, ...leaves.map((_rev) => ({ _id: 'a', _rev })));
    for (let n = 10; n < 60; n++) {
      const rev = `2-${String(n)}`;
      const writing = replicate(db, { _id: 'a', _rev: rev }, { _id: 'b', _rev: rev });
      const looking = (async (): Promise<void> => {
        for (let turn = 0; turn < 5; turn++) {
          look();
          await new Promise((resolve) => setImmediate(resolve));
        }
      })();
      await writing;
      leaves.push(rev);
      expect(look()).toEqual(leaves.toSorted());
      await looking;
      expect(look()).toEqual(leaves.toSorted());
      if (n % 10 > 0) continue;
      await db.purge(new Map([['a', leaves.splice(0, 1)]]));
      expect(look()).toEqual(leaves.toSorted());
      await db.compact();
    }
    await db.close();
    expect(await verified(folder)).toEqual([]);
  });

  test('looks up no document twice that has branches', async () => {
    const db = await openDatabase(await newFolder());
    await replicate(db, { _id: 'a', _rev: '1-a' }, { _id: 'a', _rev: '1-b' }, { _id: 'c', _rev: '1-a' });
    expect(db.get('a')).toBe(db.get('a'));
    expect(db.get('c')).not.toBe(db.get('c'));
  });

  test('keeps no bodies that nobody is to ask for again', async () => {
    const db = await openDatabase(await newFolder());
    await replicate(db, { _id: 'a', _rev: '1-a' });
    const record = db.get('a');
    const wanted = record && { record, rev: '1-a' };
    const look = vi.spyOn(ClassicLevel.prototype, 'getSync');
    const reads = async (once: boolean): Promise<number> => {
      look.mockClear();
      expect(await db.readMany([wanted], once)).toEqual([expect.stringContaining('1-a')]);
      return look.mock.calls.length;
    };
    expect([await reads(true), await reads(true)]).toEqual([1, 1]);
    expect([await reads(false), await reads(false)]).toEqual([1, 0]);
    look.mockRestore();
  });

  test('does not have in memory what was purged', async () => {
    const db = await openDatabase(await newFolder());
    const rev = '1-00000000000000000000000000000001';
    await replicate(db, { _id: 'a', _rev: rev });
    const [record] = await db.getMany(['a']);
    const wanted = record && { record, rev };
    expect(await db.readMany([wanted])).toEqual([expect.stringContaining(rev)]);
    await db.purge(new Map([['a', [rev]]]));
    expect(await db.getMany(['a'])).toEqual([undefined]);
    expect(await db.readMany([wanted])).toEqual([undefined]);
    await replicate(db, { _id: 'b', _rev: '1-a' }, { _id: 'b', _rev: '1-b' });
    const seen = db.get('b');
    await db.purge(new Map([['c', [rev]]]));
    expect(db.get('b')).not.toBe(seen);
  });
});
