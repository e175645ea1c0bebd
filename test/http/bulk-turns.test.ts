import type { IncomingMessage } from 'node:http';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { emptyListQuery } from '../../src/http/list-query.js';
import { documentTable } from '../../src/http/routes/all-docs.js';
import type { Database } from '../../src/store/types/database.js';
import { Rounds } from '../support/rounds.js';
import { startApp, type Answer, type TestApp } from './app.js';

let it: TestApp;
beforeAll(async () => {
  it = await startApp();
  await it.request('PUT', '/db');
});
afterAll(() => it.stop());

const post = (url: string, text: string): Promise<Answer> =>
  it.request('POST', url, { text, headers: { 'content-type': 'application/json' } });

/** Resolves when the server has the whole body of the next request to a path, but has not begun to read it. */
const arrived = (path: string): Promise<void> =>
  new Promise((resolve) => {
    const watch = (request: IncomingMessage): void => {
      if (request.url?.startsWith(path) !== true) return;
      it.app.server.off('request', watch);
      request.on('end', resolve);
    };
    it.app.server.on('request', watch);
  });

describe('while a long body is read', () => {
  const many = (text: string, count: number): string => text.repeat(count);
  // Broken at their ends, so that they are answered as soon as they are read.
  test.each([
    ['_bulk_docs', 'documents', `{"docs":[${many('{"_id":"x","a":[1.50]},', 200_000)}`],
    ['_bulk_docs', 'wrong documents', `{"docs":[${many('1,', 4_000_000)}`],
    ['_bulk_docs', 'documents that are no list', `{"docs":{"a":[${many('1,', 4_000_000)}`],
    ['_bulk_docs', 'another member', `{"a":[${many('{"a":1},', 1_000_000)}`],
    ['_bulk_docs', 'no object', `[${many('{"a":1},', 1_000_000)}`],
    ['_revs_diff', 'lists of revisions', `{${many('"id":["1-a"],', 500_000)}`],
    ['_revs_diff', 'one list of revisions', `{"id":[${many('"1-a",', 800_000)}`],
    ['_missing_revs', 'no object', `[${many('{"a":1},', 1_000_000)}`],
    ['_changes?filter=_doc_ids', 'ids', `{"doc_ids":[${many('"id",', 1_000_000)}`],
    ['_changes', 'another member', `{"a":[${many('{"a":1},', 1_000_000)}`],
  ])('others are answered: %s with %s', async (path, _, text) => {
    const answered: string[] = [];
    const begun = arrived(`/db/${path}`);
    const long = post(`/db/${path}`, text).finally(() => answered.push('long'));
    await begun;
    expect(answered).toEqual([]);
    await it.request('GET', '/').finally(() => answered.push('short'));
    expect((await long).body).toMatchObject({ error: 'bad_request', reason: 'invalid UTF-8 JSON' });
    expect(answered).toEqual(['short', 'long']);
  });

  test('others are answered: _changes with ids that are all good', async () => {
    const begun = arrived('/db/_changes');
    const answered: string[] = [];
    const text = `{"doc_ids":[${many('"id",', 1_000_000)}"id"]}`;
    const long = post('/db/_changes?filter=_doc_ids', text).finally(() => answered.push('long'));
    await begun;
    await it.request('GET', '/').finally(() => answered.push('short'));
    expect(await long).toMatchObject({ status: 200, body: { results: [] } });
    expect(answered).toEqual(['short', 'long']);
  });
});

test('others are answered while a feed asks a selector about documents that take long each', async () => {
  await it.request('PUT', '/costly');
  const elements = Array.from({ length: 1000 }, (_, at) => at);
  const docs = Array.from({ length: 40 }, (_, at) => ({ _id: String(at), elements }));
  await post('/costly/_bulk_docs', JSON.stringify({ docs }));
  const $or = elements.map((at) => ({ $eq: -1 - at }));
  const feed = '/costly/_changes?filter=_selector';
  const answered: string[] = [];
  const begun = arrived(feed);
  const long = post(feed, JSON.stringify({ selector: { elements: { $elemMatch: { $or } } } }));
  const ended = long.finally(() => answered.push('feed'));
  await begun;
  while (!answered.includes('feed')) await it.request('GET', '/').finally(() => answered.push('other'));
  expect((await ended).body).toMatchObject({ results: [] });
  // Each of these takes a few rounds of the event loop.
  expect(answered.length).toBeGreaterThan(5);
});

test('others are answered while a selector is asked about one document that takes long', async () => {
  await it.request('PUT', '/long');
  const elements = Array.from({ length: 20_000 }, (_, at) => at);
  await it.request('PUT', '/long/a', { json: { elements } });
  const selector = {
    elements: { $elemMatch: { $or: elements.slice(0, 1000).map((at) => ({ $eq: -1 - at })) } },
  };
  for (const path of ['/long/_find', '/long/_changes?filter=_selector']) {
    const answered: string[] = [];
    const begun = arrived(path);
    const long = post(path, JSON.stringify({ selector })).finally(() => answered.push('long'));
    await begun;
    while (!answered.includes('long')) await it.request('GET', '/').finally(() => answered.push('other'));
    expect((await long).status).toBe(200);
    // Each of these takes a few rounds of the event loop.
    expect(answered.length).toBeGreaterThan(5);
  }
});

test('many keys of documents in memory are looked up in turns, however fast the answer is taken', async () => {
  const count = 200_000;
  await it.request('PUT', '/listed');
  await it.request('PUT', '/listed/a', { json: {} });
  await it.databases.use('listed', async (db) => {
    const query = { ...emptyListQuery(), keys: Array<string>(count).fill('a') };
    const { pages } = await documentTable(db, '_all_docs', query, () => '');
    const rounds = new Rounds();
    let rows = 0;
    for await (const page of pages) rows += page.length;
    rounds.end();
    expect(rows).toBe(count);
    // The first page alone is read from the disk.
    expect(rounds.count).toBeGreaterThan(10);
  });
});

/** In how many rounds of the event loop `note` is called while something is done with a database. */
async function roundsOf(
  name: string,
  watch: (db: Database, note: () => void) => void,
  work: () => Promise<unknown>,
): Promise<number> {
  const noted = new Set<number>();
  const rounds = new Rounds();
  await it.databases.use(name, async (db) => {
    watch(db, () => void noted.add(rounds.count));
    await work();
  });
  rounds.end();
  vi.restoreAllMocks();
  return noted.size;
}

const watchGet = (db: Database, note: () => void): void => {
  const get = db.get.bind(db);
  vi.spyOn(db, 'get').mockImplementation((id) => {
    note();
    return get(id);
  });
};

const watchGetLocal = (db: Database, note: () => void): void => {
  const getLocal = db.getLocal.bind(db);
  vi.spyOn(db, 'getLocal').mockImplementation((id) => {
    note();
    return getLocal(id);
  });
};

const watchTaking = (db: Database, note: () => void): void => {
  const stageAttachments = db.stageAttachments.bind(db);
  vi.spyOn(db, 'stageAttachments').mockImplementation(() => {
    const staging = stageAttachments();
    return {
      get heldBytes() {
        return staging.heldBytes;
      },
      release: () => staging.release(),
      take: (source, options) => {
        note();
        return staging.take(source, options);
      },
    };
  });
};

describe('a long batch', () => {
  const COUNT = 20_000;
  const docs = (of: (at: number) => object, length = COUNT): string =>
    JSON.stringify({ docs: Array.from({ length }, (_, at) => of(at)) });
  const rowsOf = ({ body }: Answer): { id: string; error?: string; rev?: string }[] =>
    body as { id: string; error?: string; rev?: string }[];

  test('is looked up in turns, and answered in its order', async () => {
    await it.request('PUT', '/empty');
    let rows: ReturnType<typeof rowsOf> = [];
    const rounds = await roundsOf('empty', watchGet, async () => {
      const answer = await post(
        '/empty/_bulk_docs',
        docs((at) => ({ _id: `d${String(at)}`, _rev: '1-a' })),
      );
      expect(answer.status).toBe(201);
      rows = rowsOf(answer);
    });
    expect(rounds).toBeGreaterThan(3);
    expect(rows.map(({ id, error }) => `${id} ${String(error)}`)).toEqual(
      Array.from({ length: COUNT }, (_, at) => `d${String(at)} conflict`),
    );
  });

  test('of local documents lets others have their turns even where there is nothing to write', async () => {
    const rounds = await roundsOf('db', watchGetLocal, async () => {
      const answer = await post(
        '/db/_bulk_docs',
        docs((at) => ({ _id: `_local/${String(at)}`, _deleted: true })),
      );
      expect(rowsOf(answer).map(({ rev }) => rev)).toEqual(Array<string>(COUNT).fill('0-0'));
    });
    expect(rounds).toBeGreaterThan(100);
  });

  test('is answered as one and the other: with what was written, conflicts, and refusals in their places', async () => {
    const mixed = (at: number): object => {
      if (at % 4 === 0) return { _id: `m${String(at)}`, at };
      if (at % 4 === 1) return { _id: `m${String(at - 1)}`, at };
      return at % 4 === 2 ? { _id: `_design/${String(at)}`, views: 1 } : { _id: `_local/${String(at)}`, at };
    };
    const rows = rowsOf(await post('/db/_bulk_docs', docs(mixed, 2000)));
    expect(rows).toHaveLength(2000);
    const wanted = [
      { id: 'm400', ok: true, rev: expect.stringMatching(/^1-/) as string },
      { id: 'm400', error: 'conflict' },
      { id: '_design/402', error: 'invalid_design_doc' },
      { id: '_local/403', ok: true, rev: '0-1' },
    ];
    expect(rows.slice(400, 404)).toMatchObject(wanted);
    for (const [at, row] of rows.entries()) expect(row.error).toBe(wanted[at % 4]?.error);
  });

  test('that replicates tells nothing where all is well, and what failed where it is not', async () => {
    const good = docs((at) => ({ _id: `r${String(at)}`, _rev: '1-a' }));
    expect(await post('/db/_bulk_docs', good.replace('{', '{"new_edits":false,'))).toMatchObject({
      status: 201,
      text: '[]\n',
    });
    const bad = docs((at) => ({ _id: `_design/r${String(at)}`, _rev: '1-a', views: at % 2 }));
    const rows = rowsOf(await post('/db/_bulk_docs', bad.replace('{', '{"new_edits":false,')));
    expect(rows).toHaveLength(COUNT);
    expect(rows.at(-1)).toMatchObject({
      id: `_design/r${String(COUNT - 1)}`,
      rev: '1-a',
      error: 'invalid_design_doc',
    });
  });
});

test.each(['application/octet-stream', 'text/plain'])(
  'very many tiny attachments are taken in in turns: %s',
  async (type) => {
    const count = 10_000;
    const data = (at: number): string => Buffer.from(`${type} ${String(at)}`).toString('base64');
    const named = Array.from({ length: count }, (_, at) => [
      `f${String(at)}`,
      { content_type: type, data: data(at) },
    ]);
    const text = JSON.stringify({ _attachments: Object.fromEntries(named) as object });
    const path = `/db/${encodeURIComponent(type)}`;
    const rounds = await roundsOf('db', watchTaking, async () => {
      const headers = { 'content-type': 'application/json' };
      expect((await it.request('PUT', path, { text, headers })).status).toBe(201);
    });
    expect(rounds).toBeGreaterThan(5);
    const last = await it.request('GET', `${path}/f${String(count - 1)}`);
    expect(last.text).toBe(`${type} ${String(count - 1)}`);
  },
);

describe('a long question for revisions', () => {
  const COUNT = 3000;
  const idOf = (at: number): string => `q${String(at).padStart(40, '0')}`;
  const asked = Object.fromEntries(
    Array.from({ length: COUNT }, (_, at) => [idOf(at), at % 3 === 0 ? ['1-a'] : ['9-b', '1-a', '2-b']]),
  );
  beforeAll(async () => {
    const docs = Array.from({ length: COUNT }, (_, at) => ({ _id: idOf(at), _rev: '1-a' }));
    // The last ones are not here.
    await post('/db/_bulk_docs', JSON.stringify({ new_edits: false, docs: docs.slice(0, -600) }));
  });
  const here = (at: number): boolean => at < COUNT - 600;
  const missingAt = (at: number): string[] | undefined => {
    if (!here(at)) return asked[idOf(at)];
    return at % 3 === 0 ? undefined : ['2-b', '9-b'];
  };

  test('is answered piece by piece as a short one is at once', async () => {
    const text = JSON.stringify(asked);
    expect(text.length).toBeGreaterThan(100_000);
    const expected = Array.from({ length: COUNT }, (_, at) => at).flatMap((at) => {
      const missing = missingAt(at);
      if (missing === undefined) return [];
      return [[idOf(at), here(at) ? { missing, possible_ancestors: ['1-a'] } : { missing }] as const];
    });
    const answer = await post('/db/_revs_diff', text);
    expect(answer.text).toBe(`${JSON.stringify(Object.fromEntries(expected))}\n`);
    const short = Object.fromEntries(Object.entries(asked).slice(0, 30));
    expect((await post('/db/_revs_diff', JSON.stringify(short))).text).toBe(
      `${JSON.stringify(Object.fromEntries(expected.slice(0, 20)))}\n`,
    );
    const missing = { missing_revs: Object.fromEntries(expected.map(([id, of]) => [id, of.missing])) };
    expect((await post('/db/_missing_revs', text)).text).toBe(`${JSON.stringify(missing)}\n`);
  });

  test('may have an empty answer', async () => {
    const known = Object.fromEntries(Array.from({ length: 2400 }, (_, at) => [idOf(at), ['1-a']]));
    expect((await post('/db/_revs_diff', JSON.stringify(known))).text).toBe('{}\n');
    expect((await post('/db/_missing_revs', JSON.stringify(known))).text).toBe('{"missing_revs":{}}\n');
    expect((await post('/db/_missing_revs', '{}')).text).toBe('{"missing_revs":{}}\n');
  });

  test('of one document names each revision once, in order where they are not too many', async () => {
    const some = ['1-a', '10-x', '9-x', '10-x', '2-x'];
    const few = await post('/db/_missing_revs', JSON.stringify({ [idOf(0)]: some }));
    expect(few.body).toEqual({ missing_revs: { [idOf(0)]: ['2-x', '9-x', '10-x'] } });
    const revs = Array.from({ length: 11_000 }, (_, at) => `${String(11_000 - at)}-x`);
    const many = await post('/db/_missing_revs', JSON.stringify({ [idOf(0)]: [...revs, ...some] }));
    expect(many.body).toEqual({ missing_revs: { [idOf(0)]: revs } });
  });
});
