import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CouchError } from '../../src/errors.js';
import { Epochs } from '../../src/store/epochs.js';
import { LevelDatabase } from '../../src/store/level-database.js';
import { feedOf, newFolder, openDatabase, put, QUICK } from '../support/store.js';

describe('epochs', () => {
  const epochs = (): Epochs =>
    new Epochs([
      { first: 0, name: 'a' },
      { first: 5, name: 'b' },
    ]);

  test('name a sequence after the run that gave it out', () => {
    expect([0, 1, 4, 5, 9].map((seq) => epochs().token(seq))).toEqual(['0-a', '1-a', '4-a', '5-b', '9-b']);
  });

  test('know the tokens they gave out, and count all others as 0', () => {
    const parse = (token: string): number => epochs().parse(token, 9);
    expect(['0', '0-a', '4-a', '5-b', '9-b', '"9-b"'].map(parse)).toEqual([0, 0, 4, 5, 9, 9]);
    expect(['5-a', '10-b', '9-c', '9-a', '3-zzz', '999999999999999-b'].map(parse)).toEqual([
      0, 0, 0, 0, 0, 0,
    ]);
    expect(
      parse('23-g1AAAACbeJzLYWBgYMpgTmHgz8tPSTV0MDQy1zMAQsMckEQiQ1L9____szKYE5lzgQLsJinGaZYmBtg04DAmjwVISVb'),
    ).toBe(0);
    expect(parse('g1AAAACbeJzLYWBgYMpgTmHgz8tPSTV0MDQy1zMAQsMckEQiQ1L9')).toBe(0);
    // A sequence of an older epoch may be named by a token of it only.
    expect(parse('4-b')).toBe(4);
  });

  test.each([
    '',
    'x',
    '5',
    '-5-a',
    '5-',
    '5-a b',
    '5-a-b\n',
    '1.5-a',
    '9'.repeat(16) + '-a',
    'now',
    'null',
    '["5-a"]',
    '5-a%',
  ])('refuse %j as malformed', (token) => {
    let status = 200;
    try {
      epochs().parse(token, 9);
    } catch (error) {
      if (!(error instanceof CouchError)) throw error;
      status = error.status;
    }
    expect(status).toBe(400);
  });

  test('that never held a sequence are replaced', () => {
    const own = epochs();
    own.begin(10);
    own.begin(10);
    expect(own.toJSON().map(({ first }) => first)).toEqual([0, 5, 10]);
    own.begin(12);
    expect(own.toJSON()).toHaveLength(4);
    expect(own.token(9)).toBe('9-b');
  });
});

test('tokens of earlier runs stay valid', async () => {
  const folder = await newFolder();
  const tokens: string[] = [];
  for (let run = 0; run < 4; run++) {
    const db = await openDatabase(folder);
    expect(tokens.map((token) => db.parseToken(token))).toEqual(tokens.map((_, at) => at));
    if (run === 0) tokens.push(db.token(0));
    await put(db, { _id: `d${String(run)}` });
    tokens.push(db.token(db.updateSeq));
    expect(db.parseToken(`${String(db.updateSeq + 1)}-${db.token(db.updateSeq).split('-')[1] ?? ''}`)).toBe(
      0,
    );
    await db.close();
  }
  // A run that writes nothing gives out nothing new.
  const idle = await openDatabase(folder);
  expect(idle.token(4)).toBe(tokens[4]);
  expect(new Set(tokens.slice(1).map((token) => token.split('-')[1])).size).toBe(4);
});

/**
 * Readers follow the feed with the token they were given last, while the database is written, restarted, backed up
 * and put back. Whoever trusts a token must not miss a document as it now stands.
 */
type Action =
  | { readonly do: 'write'; readonly id: number }
  | { readonly do: 'restart' }
  | { readonly do: 'back up' }
  | { readonly do: 'put back' }
  | { readonly do: 'read'; readonly reader: number };

const actions = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ do: fc.constant('write' as const), id: fc.nat({ max: 3 }) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('read' as const), reader: fc.nat({ max: 1 }) }) },
    {
      weight: 2,
      arbitrary: fc.constantFrom<Action>({ do: 'restart' }, { do: 'back up' }, { do: 'put back' }),
    },
  ),
  { minLength: 5, maxLength: 25 },
);

class Reader {
  token = '0';
  /** Id → revision, as the feed told it. */
  readonly seen = new Map<string, string>();

  async read(db: LevelDatabase): Promise<void> {
    for (const row of await feedOf(db, db.parseToken(this.token))) this.seen.set(row.id, row.revs[0] ?? '');
    this.token = db.token(db.updateSeq);
    for (const row of await feedOf(db)) expect(this.seen.get(row.id)).toBe(row.revs[0]);
  }
}

test('a token never skips a row that its holder has not seen (I5)', async () => {
  const root = await newFolder();
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(actions, async (sequence) => {
      const folder = join(root, String(runs++));
      const backup = `${folder}.backup`;
      const open = (): Promise<LevelDatabase> => LevelDatabase.open('db', folder, `${folder}.copy`, QUICK);
      const readers = [new Reader(), new Reader()];
      let version = 0;
      let saved = false;
      let db = await open();
      try {
        for (const action of sequence) {
          if (action.do === 'write') {
            const id = String(action.id);
            await put(db, { _id: id, _rev: db.get(id)?.winner, v: version++ });
          } else if (action.do === 'read') {
            await readers[action.reader]?.read(db);
          } else {
            await db.close();
            if (action.do === 'back up') {
              await rm(backup, { recursive: true, force: true });
              await cp(folder, backup, { recursive: true });
              saved = true;
            } else if (action.do === 'put back' && saved) {
              await rm(folder, { recursive: true });
              await cp(backup, folder, { recursive: true });
            }
            db = await open();
          }
        }
        for (const reader of readers) await reader.read(db);
      } finally {
        await db.close();
        await Promise.all([folder, backup].map((path) => rm(path, { recursive: true, force: true })));
      }
    }),
    { numRuns: 150 },
  );
});
