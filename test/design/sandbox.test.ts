import { afterAll, beforeAll, expect, it } from 'vitest';
import { startApp, type TestApp } from '../http/app.js';

let app: TestApp;
beforeAll(async () => {
  app = await startApp({ functions: { timeout: 500 } });
});
afterAll(() => app.stop());

let count = 0;

/** The functions of a design document in a new database. */
async function functionsOf(design: object) {
  const name = `db${++count}`;
  await app.request('PUT', `/${name}`);
  const { status, body } = await app.request('PUT', `/${name}/_design/d`, { json: design });
  if (status !== 201) throw new Error(JSON.stringify(body));
  return app.databases.use(name, (db) => Promise.resolve(app.sandbox.design(db, '_design/d')));
}

it('validates documents one by one', async () => {
  const functions = await functionsOf({
    validate_doc_update: `// a comment
      function (newDoc, oldDoc, userCtx, secObj) {
        if (newDoc.n === 1) throw({forbidden: 'one'});
        if (oldDoc && oldDoc.n === 2) throw({unauthorized: userCtx.name});
      };`,
  });
  const verdicts = await functions.validate(
    [0, 1, 2].map((n) => ({ document: JSON.stringify({ n }), before: n === 2 ? '{"n":2}' : 'null' })),
    '{"name":"joe"}',
    '{}',
  );
  expect(verdicts).toMatchObject([
    undefined,
    { status: 403, error: 'forbidden', reason: 'one' },
    { status: 401, error: 'unauthorized', reason: 'joe' },
  ]);
});

it('filters, shows, updates and rewrites', async () => {
  const functions = await functionsOf({
    filters: { f: 'function(doc, req) { return doc.t === req.query.t; }' },
    views: {
      v: { map: 'function(doc) { if (doc.t) emit(doc.t, null); }' },
      lib: { a: 'exports.x = require("./b").y + 1', b: 'exports.y = 4' },
    },
    shows: {
      s: 'function(doc, req) { return "x" + require("views/lib/a").x; }',
      p: 'function(doc, req) { provides("html", function() { return "<b>"; }); provides("json", function() { return {json: 1}; }); }',
    },
    updates: { u: 'function(doc, req) { doc.n++; return [doc, {code: 201, body: "b"}]; }' },
    rewrites: 'function(req) { return "x"; }',
  });
  expect(await functions.filter('f', ['{"t":"a"}', '{"t":"b"}'], '{"query":{"t":"b"}}')).toEqual([
    false,
    true,
  ]);
  expect(await functions.filterByView('v', ['{"t":"a"}', '{}'])).toEqual([true, false]);
  expect(JSON.parse(await functions.show('s', 'null', '{"path":[]}'))).toEqual({ body: 'x5' });
  expect(
    JSON.parse(await functions.show('p', 'null', '{"path":[],"headers":{"Accept":"text/html"}}')),
  ).toEqual({
    body: '<b>',
    headers: { 'Content-Type': 'text/html; charset=utf-8' },
  });
  expect(await functions.update('u', '{"n":1}', '{"method":"PUT"}')).toEqual({
    document: '{"n":2}',
    response: '{"code":201,"body":"b"}',
  });
  expect(await functions.rewrite('{"method":"GET"}')).toBe('{"path":"x","method":"GET"}');
  await expect(functions.show('none', 'null', '{}')).rejects.toMatchObject({
    status: 404,
    reason: 'missing json key: none',
  });
});

it('ends what runs for too long', async () => {
  const functions = await functionsOf({
    shows: { s: 'function() { for (;;); }', join: 'function() { return new Array(4e8).join(""); }' },
  });
  await expect(functions.show('s', 'null', '{}')).rejects.toMatchObject({ error: 'os_process_error' });
  await expect(functions.show('join', 'null', '{}')).rejects.toMatchObject({ error: 'os_process_error' });
});
