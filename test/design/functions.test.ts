import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openCage, type Cage } from './support.js';

let cage: Cage;
beforeAll(async () => {
  cage = await openCage();
});
afterAll(() => cage.close());

const REQUEST = '{"path":[],"method":"POST"}';
const pair = (document: object, before: object | null = null) => ({
  document: JSON.stringify(document),
  before: JSON.stringify(before),
});

describe('a validation', () => {
  const verdicts = async (body: string, documents: readonly object[] = [{}]) => {
    const functions = await cage.of({
      validate_doc_update: `function (newDoc, oldDoc, userCtx, secObj) { ${body} }`,
    });
    return functions.validate(
      documents.map((document) => pair(document)),
      '{"name":"joe","roles":[]}',
      '{}',
    );
  };

  it('says of each document whether it may be written', async () => {
    const body =
      'if (newDoc.n === 1) throw {forbidden: "one"}; if (newDoc.n === 2) throw {unauthorized: userCtx.name};';
    expect(
      await verdicts(
        body,
        [0, 1, 2, 3].map((n) => ({ n })),
      ),
    ).toMatchObject(
      [
        undefined,
        { status: 403, error: 'forbidden', reason: 'one' },
        { status: 401, error: 'unauthorized', reason: 'joe' },
        undefined,
      ].map((verdict) => verdict ?? undefined),
    );
  });

  it.each([
    ['throw "no"', 500, 'unknown_error', 'no'],
    ['throw {teapot: "short"}', 500, 'unknown_error', 'short'],
    ['throw {forbidden: {a: 1}}', 403, 'forbidden', '{"a":1}'],
    ['throw 1', 500, 'unknown_error', '1'],
    ['throw null', 500, 'unnamed_error', 'null'],
    ['throw new Error("boom")', 500, 'Error', 'boom'],
    ['null.x', 500, 'TypeError', "cannot read property 'x' of null"],
    ['throw ["error", "mine", "why"]', 500, 'mine', 'why'],
    ['throw {get forbidden() { throw 5 }}', 500, 'unnamed_error', '5'],
    ['if', 500, 'compilation_error', expect.stringContaining('SyntaxError: ') as string],
  ])('is refused by %s', async (body, status, error, reason) => {
    expect(await verdicts(body)).toMatchObject([{ status, error, reason }]);
  });

  it('sees each document, user and security object anew, whatever it does to those before', async () => {
    const body = `if (userCtx.seen || secObj.seen || this.seen) throw {forbidden: 'seen'};
      userCtx.seen = secObj.seen = true; userCtx.roles.push('_admin');
      if (userCtx.roles.length !== 1) throw {forbidden: 'roles'};`;
    expect(
      await verdicts(
        body,
        Array.from({ length: 10 }, () => ({})),
      ),
    ).toEqual(new Array(10).fill(undefined));
  });

  it('is not fooled by a document that a careless function copies', async () => {
    const body = `function merge(to, from) {
        for (var key in from) {
          if (typeof from[key] === 'object') merge(to[key] = to[key] || {}, from[key]);
          else to[key] = from[key];
        }
      }
      merge({}, newDoc);
      if (!newDoc.allowed || newDoc.hasOwnProperty === 5) throw {forbidden: 'no'};`;
    const bad = JSON.parse('{"allowed":true,"__proto__":{"allowed":true,"hasOwnProperty":5}}') as object;
    expect(await verdicts(body, [bad, {}, { allowed: true }])).toMatchObject(
      [undefined, { error: 'forbidden' }, undefined].map((verdict) => verdict),
    );
  });
});

describe('the source of a function', () => {
  it.each([
    '// a comment\nfunction (doc) { return true }',
    '/* a comment */ function(doc) { return true };',
    '\n\nfunction\n(doc) {\n return true\n}\n\n',
    'function (doc) { return true } // done',
    'var yes = true;\n  function (doc) { return yes }',
    'function yes() { return true } (function (doc) { return yes() })',
    '(doc) => true',
    '(function named(doc) { return true })',
  ])('may be %s', async (f) => {
    const functions = await cage.of({ filters: { f } });
    expect(await functions.filter('f', ['{}'], REQUEST)).toEqual([true]);
  });

  it.each(['5', 'function named(doc) { return true }', '  ', 'class A {}', 'undefined'])(
    'may not be %s',
    async (f) => {
      const functions = await cage.of({ filters: { f } });
      await expect(functions.filter('f', ['{}'], REQUEST)).rejects.toMatchObject({
        status: 500,
        error: 'compilation_error',
        reason: `Expression does not eval to a function. (${f})`,
      });
    },
  );

  it.each(['async function (doc) { return true }', 'function* (doc) { yield 1 }', 'function (doc) { if }'])(
    'is refused with the mistake that it has: %s',
    async (f) => {
      const functions = await cage.of({ filters: { f } });
      await expect(functions.filter('f', ['{}'], REQUEST)).rejects.toMatchObject({
        error: 'compilation_error',
        reason: expect.stringMatching(/^SyntaxError: .* \(.*\)$/s) as string,
      });
    },
  );

  it('has to be there', async () => {
    const functions = await cage.of({ filters: { empty: '' }, shows: {} });
    const missing = (reason: string) => ({ status: 404, error: 'not_found', reason });
    await expect(functions.filter('none', ['{}'], REQUEST)).rejects.toMatchObject(
      missing('missing json key: none'),
    );
    await expect(functions.filter('constructor', ['{}'], REQUEST)).rejects.toMatchObject(
      missing('missing json key: constructor'),
    );
    await expect(functions.update('u', 'null', REQUEST)).rejects.toMatchObject(
      missing('missing json key: updates'),
    );
    await expect(functions.filter('empty', ['{}'], REQUEST)).rejects.toMatchObject(
      missing('missing filters function empty on design doc _design/d'),
    );
  });
});

describe('filters', () => {
  it('say of each document whether it passes', async () => {
    const functions = await cage.of({
      filters: { f: 'function (doc, req) { return doc.type === req.query.type ? "yes" : 0 }' },
      views: { v: { map: 'function (doc) { if (doc.type) emit(doc.type, null) }' } },
    });
    const documents = ['{"type":"a"}', '{}', '{"type":"b"}'];
    expect(await functions.filter('f', documents, '{"query":{"type":"b"}}')).toEqual([false, false, true]);
    expect(await functions.filterByView('v', documents)).toEqual([true, false, true]);
    expect(await functions.filter('f', [], '{}')).toEqual([]);
  });

  it('judge each of many documents, be they long or take long', async () => {
    const functions = await cage.of({
      filters: {
        f: 'function (doc) { for (var end = Date.now() + doc.ms; Date.now() < end;); return doc.n % 3 === 0 }',
      },
      views: { v: { map: 'function (doc) { if (doc.n % 3 === 0) { emit(doc.n); emit(doc.n) } }' } },
    });
    const documents = Array.from({ length: 300 }, (_, n) =>
      JSON.stringify({ n, ms: n % 50 === 7 ? 10 : 0, text: 'x'.repeat(n % 40 === 11 ? 100_000 : n) }),
    );
    const passing = documents.map((_, n) => n % 3 === 0);
    expect(await functions.filter('f', documents, '{}')).toEqual(passing);
    expect(await functions.filterByView('v', documents)).toEqual(passing);
  });

  it('get the request anew for each document', async () => {
    const functions = await cage.of({
      filters: {
        f: 'function (doc, req) { req.query.types = req.query.types.split(","); return req.query.types[doc.n] === "b" }',
      },
    });
    const documents = Array.from({ length: 8 }, (_, n) => JSON.stringify({ n: n % 2 }));
    const request = '{"query":{"types":"a,b","__proto__":"x"}}';
    expect(await functions.filter('f', documents, request)).toEqual(documents.map((_, n) => n % 2 === 1));
    expect(await functions.filter('f', documents, '{"query":{"types":"b,a"}}')).toEqual(
      documents.map((_, n) => n % 2 === 0),
    );
  });

  it('fail as a whole with the first document that they fail for', async () => {
    const functions = await cage.of({
      filters: { f: 'function (doc) { if (doc.n === 3) doc.a.b; return true }' },
    });
    const documents = Array.from({ length: 5 }, (_, n) => JSON.stringify({ n }));
    await expect(functions.filter('f', documents, '{}')).rejects.toMatchObject({
      status: 500,
      error: 'TypeError',
    });
  });
});

describe('what functions have at hand', () => {
  it('is what CouchDB offers', async () => {
    const names = [
      'emit',
      'sum',
      'log',
      'toJSON',
      'provides',
      'registerType',
      'start',
      'send',
      'getRow',
      'isArray',
      'require',
    ];
    const body = `return JSON.stringify([${names.join()}].map(function (f) { return typeof f })
      .concat(sum([1, 2, 3.5]), isArray([]), isArray({}), toJSON({a: [1, undefined]}), typeof Date.now(), typeof Math.random()))`;
    const { body: text } = (await cage.show(body)) as { body: string };
    expect(JSON.parse(text)).toEqual([
      ...names.map(() => 'function'),
      6.5,
      true,
      false,
      '{"a":[1,null]}',
      'number',
      'number',
    ]);
  });

  it('is nothing of Node', async () => {
    const names = [
      'process',
      'globalThis.process',
      'module',
      'exports',
      'Buffer',
      'console',
      'setTimeout',
      'fetch',
      'Promise',
      'Proxy',
      'WebAssembly',
      'Atomics',
      'SharedArrayBuffer',
      'Uint8Array',
      'queueMicrotask',
      'performance',
      'std',
      'os',
    ];
    const body = `return JSON.stringify([${names.map((name) => `typeof ${name}`).join()}])`;
    const { body: text } = (await cage.show(body)) as { body: string };
    expect(new Set(JSON.parse(text) as string[])).toEqual(new Set(['undefined']));
  });

  it('gives other random numbers to each machine', async () => {
    const bodies = await Promise.all(
      Array.from({ length: 3 }, () => cage.show('return String(Math.random())')),
    );
    expect(new Set(bodies.map((body) => JSON.stringify(body))).size).toBe(3);
  });

  it('is written to the log', async () => {
    const lines: string[] = [];
    cage.app.log.level = 'info';
    cage.app.errors.length = 0;
    await cage.show('log("hello"); log({a: 1}); log(new TypeError("x")); return ""');
    cage.app.log.level = 'error';
    for (const line of cage.app.errors) lines.push((JSON.parse(line) as { line: string }).line);
    expect(lines).toEqual(['hello', '{"a":1}', '{"error":"TypeError","message":"x"}']);
  });
});

describe('require', () => {
  const lib = {
    a: 'exports.name = "a"; exports.b = require("./b"); exports.root = require("lib/deep/c").up',
    b: 'exports.a = require("./a").name; exports.id = module.id',
    bad: 'throw new Error("bad")',
    number: 5,
    deep: { c: 'exports.up = require("../b").id', value: 'module.exports = function () { return 7 }' },
  };
  const run = (expression: string) =>
    cage
      .of({ lib, shows: { s: `function () { return JSON.stringify(${expression}) }` } })
      .then(async (functions) => {
        const { body } = JSON.parse(await functions.show('s', 'null', '{"path":[]}')) as { body: string };
        return JSON.parse(body) as unknown;
      });

  it('finds modules by relative and absolute paths, in circles too', async () => {
    expect(await run('require("lib/a")')).toEqual({ name: 'a', b: { a: 'a', id: 'lib/b' }, root: 'lib/b' });
    expect(await run('require("lib/deep/value")()')).toBe(7);
    expect(await run('require("lib/b") === require("lib/b")')).toBe(true);
  });

  it.each([
    ['lib/none', 'invalid_require_path', 'Object has no property "none". '],
    ['lib/number', 'invalid_require_path', 'Must require a JavaScript string, not: number'],
    ['lib', 'invalid_require_path', 'Must require a JavaScript string, not: object'],
    ['./a', 'invalid_require_path', 'Object has no parent undefined'],
    ['lib/bad', 'compilation_error', "Module require('lib/bad') raised error Error: bad"],
    ['constructor', 'invalid_require_path', 'Object has no property "constructor". '],
  ])('refuses %s', async (path, error, reason) => {
    await expect(run(`require("${path}")`)).rejects.toMatchObject({
      status: 500,
      error,
      reason: expect.stringContaining(reason) as string,
    });
  });
});

describe('show and update functions', () => {
  it('answer with text, an object or in pieces', async () => {
    expect(await cage.show('return "x"')).toEqual({ body: 'x' });
    expect(await cage.show('return {code: 201, json: {a: NaN, b: undefined}}')).toEqual({
      code: 201,
      json: { a: null },
    });
    expect(await cage.show('start({"X-A": "1"}); send("a"); send(5); return "b"')).toEqual({
      body: 'a5b',
      headers: { 'X-A': '1' },
    });
    expect(await cage.show('return null')).toEqual({});
  });

  it('provide what the client accepts', async () => {
    const body = `provides("html", function () { return "<b>" }); provides("json", function () { return {body: "{}"} });
      registerType("own", "x/y"); provides("own", function () { send("own"); return "!" });`;
    const headers = (type: string) => ({ 'Content-Type': type });
    const html = { body: '<b>', headers: headers('text/html; charset=utf-8') };
    const json = { body: '{}', headers: headers('application/json') };
    expect(await cage.show(body, { headers: { Accept: 'text/html' } })).toEqual(html);
    expect(await cage.show(body, { headers: { Accept: 'text/html;q=0.1, application/json' } })).toEqual(json);
    expect(await cage.show(body, { headers: {} })).toEqual(html);
    expect(await cage.show(body, { headers: {}, query: { format: 'json' } })).toEqual(json);
    expect(await cage.show(body, { headers: { Accept: 'x/*' } })).toEqual({
      body: 'own!',
      headers: headers('x/y'),
    });
    await expect(cage.show(body, { headers: { Accept: 'image/png' } })).rejects.toMatchObject({
      status: 406,
      error: 'not_acceptable',
    });
  });

  it('say what went wrong', async () => {
    const failure = (error: string, reason: string) => ({
      status: 500,
      error,
      reason: expect.stringContaining(reason) as string,
    });
    await expect(cage.show('throw "boom"')).rejects.toMatchObject(
      failure('render_error', 'function raised error: boom \nstacktrace: undefined'),
    );
    await expect(cage.show('return 5')).rejects.toMatchObject(
      failure('render_error', 'undefined response from show function'),
    );
    await expect(cage.show('throw {error: "not_found", reason: "gone"}')).rejects.toMatchObject({
      status: 404,
      reason: 'gone',
    });
    await expect(cage.show('throw ["error", "mine", "why"]')).rejects.toMatchObject(failure('mine', 'why'));
    await expect(
      cage.show('doc.a', { path: ['db', '_design', 'd', '_show', 's', 'x'] }),
    ).rejects.toMatchObject({ status: 404, reason: 'document not found' });
    await expect(cage.show('var a = {}; a.a = a; return a')).rejects.toMatchObject(
      failure('render_error', 'circular'),
    );
  });

  it('change documents', async () => {
    const functions = await cage.of({
      updates: {
        u: 'function (doc, req) { if (!doc) return [null, "none"]; doc.n++; return [doc, {code: 202, body: "é\\ud800"}] }',
        bad: 'function () { return 5 }',
      },
    });
    expect(await functions.update('u', '{"n":1}', REQUEST)).toEqual({
      document: '{"n":2}',
      response: '{"code":202,"body":"é\\ud800"}',
    });
    expect(await functions.update('u', 'null', REQUEST)).toEqual({
      document: undefined,
      response: '{"body":"none"}',
    });
    await expect(functions.update('bad', 'null', REQUEST)).rejects.toMatchObject({
      error: 'render_error',
      reason: 'undefined response from update function',
    });
    await expect(functions.update('u', 'null', '{"method":"GET"}')).rejects.toMatchObject({ status: 405 });
  });

  it('rewrite requests', async () => {
    const functions = await cage.of({
      rewrites: 'function (req) { if (req.n) return; return req.path.join("/") }',
    });
    expect(await functions.rewrite('{"path":["a","b"],"method":"GET"}')).toBe(
      '{"path":"a/b","method":"GET"}',
    );
    expect(await functions.rewrite('{"n":1}')).toBeUndefined();
  });
});

describe('any document', () => {
  const identity = 'function (doc) { return [doc, JSON.stringify(doc)] }';

  it('comes through a function as it was', async () => {
    const functions = await cage.of({ updates: { u: identity } });
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(
          fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('__proto__', 'constructor', 'toJSON')),
          fc.jsonValue(),
        ),
        async (value) => {
          const text = JSON.stringify(value);
          const { document, response } = await functions.update('u', text, REQUEST);
          // Members with numbers for names come first in any engine, so texts are compared as values.
          expect(JSON.parse(document ?? '')).toEqual(JSON.parse(text));
          expect((JSON.parse(response) as { body: string }).body).toBe(document);
        },
      ),
      { numRuns: 300 },
    );
  });

  it.each([
    ['lone surrogates', '{"a":"\\ud800x\\udc00"}'],
    ['prototypes', '{"__proto__":{"a":1},"constructor":{"prototype":null}}'],
    ['long text', JSON.stringify({ text: 'é€😀'.repeat(300_000) })],
  ])('may have %s', async (_, text) => {
    const functions = await cage.of({ updates: { u: identity } });
    expect(await functions.update('u', text, REQUEST)).toMatchObject({ document: text });
  });

  it('may nest as deep as one that is stored', async () => {
    const functions = await cage.of({ updates: { u: identity } });
    const text = `{"a":${'['.repeat(2490)}${']'.repeat(2490)}}`;
    expect(await functions.update('u', text, REQUEST)).toMatchObject({ document: text });
    const deeper = `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
    await expect(functions.update('u', deeper, REQUEST)).rejects.toMatchObject({ status: 500 });
    expect(await functions.update('u', text, REQUEST)).toMatchObject({ document: text });
  });
});
