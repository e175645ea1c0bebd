import { afterAll, beforeAll, expect, test } from 'vitest';
import { startApp, type TestApp } from './app.js';

/** What a CouchDB 3.5.0 answers to functions of views that do not compile, when their design documents are written. */
let app: TestApp;
beforeAll(async () => {
  app = await startApp({ functions: { timeout: 500 } });
  await app.request('PUT', '/db');
});
afterAll(() => app.stop());

const MAP = 'function (doc) {}';
const BAD = 'function (doc) { emit(';
const REFUSED = {
  error: 'compilation_error',
  reason: `Compilation of the map function in the 'v' view failed: SyntaxError: unexpected token in expression: '' (${BAD})`,
};
const bad = { views: { v: { map: BAD } } };

const failed = (what: string, why: string): readonly [number, unknown] => [
  400,
  { error: 'compilation_error', reason: `Compilation of the ${what} view failed: ${why}` },
];

test.each<readonly [name: string, design: object, status: number, body: unknown]>([
  ['a map function', bad, 400, REFUSED],
  ['another spelling of the language', { language: 'JavaScript', ...bad }, 400, REFUSED],
  ['other languages', { language: 'python', ...bad }, 201, undefined],
  ['no language', { language: '', ...bad }, 201, undefined],
  [
    'a reduce function',
    { views: { v: { map: MAP, reduce: 'function (k) { return ' } } },
    ...failed(
      "reduce function in the 'v'",
      "SyntaxError: unexpected token in expression: '' (function (k) { return )",
    ),
  ],
  ['built-in reductions', { views: { v: { map: MAP, reduce: '_count' } } }, 201, undefined],
  ['an empty function', { views: { v: { map: '' } } }, 404, { reason: 'missing function' }],
  [
    'what throws outside of functions',
    { views: { v: { map: 'throw 1' } } },
    ...failed("map function in the 'v'", '1 (throw 1)'),
  ],
  [
    'the first of several',
    { views: { b: { map: BAD }, a: { map: '43' } } },
    ...failed("map function in the 'a'", 'Expression does not eval to a function. (43)'),
  ],
  ['a library', { views: { lib: { x: 'syntax (' }, v: { map: MAP } } }, 201, undefined],
  [
    'functions that are not of views',
    { filters: { f: BAD }, shows: { f: BAD }, lists: { f: BAD }, updates: { f: BAD }, rewrites: BAD },
    201,
    undefined,
  ],
  [
    'what never comes to its end',
    { views: { v: { map: 'while (true); function (doc) {}' } } },
    500,
    { error: 'os_process_error', reason: 'OS process timed out.' },
  ],
])('%s', async (name, design, status, body) => {
  const answer = await app.request('PUT', `/db/_design/${encodeURIComponent(name)}`, { json: design });
  expect(answer).toMatchObject({ status, ...(body !== undefined && { body }) });
});

test('every way to write a document is refused', async () => {
  const doc = { _id: '_design/bad', ...bad };
  const replicated = { ...doc, _rev: '1-abc' };
  expect(await app.request('POST', '/db', { json: doc })).toMatchObject({ status: 400, body: REFUSED });
  const one = await app.request('PUT', '/db/_design/bad?new_edits=false', { json: replicated });
  expect(one).toMatchObject({ status: 400, body: REFUSED });
  const batch = await app.request('POST', '/db/_bulk_docs', {
    json: { docs: [{ _id: 'a' }, doc, { _id: 'b' }] },
  });
  expect(batch.body).toMatchObject([{ ok: true }, { id: '_design/bad', ...REFUSED }, { ok: true }]);
  const sent = await app.request('POST', '/db/_bulk_docs', {
    json: { new_edits: false, docs: [replicated] },
  });
  expect(sent.body).toEqual([{ id: '_design/bad', rev: '1-abc', ...REFUSED }]);
  await app.request('PUT', '/db/plain', { json: bad });
  const copy = await app.request('COPY', '/db/plain', { headers: { destination: '_design/bad' } });
  expect(copy).toMatchObject({ status: 400, body: REFUSED });
  expect((await app.request('GET', '/db/_design/bad')).status).toBe(404);
});
