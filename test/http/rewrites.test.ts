import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { startApp, type TestApp } from './app.js';
import { couchPeer, ourPeer, type AskOptions, type FunctionsPeer } from './functions-peer.js';

/** With a CouchDB that may be written to, `http://admin:secret@127.0.0.1:5984`, the same is asked of that. */
const { COUCHDB_URL } = process.env;
const NAME = 'rewrites-facts';

const SERVERS: readonly (readonly [name: string, start: () => Promise<FunctionsPeer>])[] = [
  ['Causeway', () => ourPeer(NAME)],
  ...(COUCHDB_URL === undefined ? [] : [['CouchDB', () => couchPeer(COUCHDB_URL, NAME)] as const]),
];

const FUNCTIONS = {
  shows: {
    s: `function (doc, req) {
      return {json: [req.method, req.raw_path.split("/_design/")[1], doc && doc._id, req.body]};
    }`,
    headers: 'function (doc, req) { return {json: req.headers}; }',
  },
  updates: { u: 'function (doc, req) { return [null, {json: [req.method, req.id, req.body]}]; }' },
};

const RULES = [
  { from: '', to: '_show/s/a', method: 'GET' },
  { from: 'doc/:id', to: '../../:id' },
  { from: 'show/:id', to: '_show/s/:id', query: { k: ':id', l: ':more' } },
  { from: 'files/*', to: '../../*' },
  { from: 'make/:id', to: '_update/u/:id', method: 'PUT' },
  { from: 'make/:id', to: '_show/s/:id', method: 'GET' },
  { from: 'once', to: '_rewrite/show/a' },
  { from: 'ever/*', to: '_rewrite/ever/*' },
  { from: 'other', to: '../w2/_show/s/a' },
];

const JSON_TYPE = 'application/json';
const TEXT = { 'content-type': 'text/plain' };

describe.each(SERVERS)('rewrites in %s', (_name, start) => {
  let peer: FunctionsPeer;
  beforeAll(async () => {
    peer = await start();
    await peer.ask('PUT /a', { body: { n: 1 } });
    await peer.ask('PUT /b%2Fc', { body: { n: 2 } });
    await peer.ask('PUT /_design/w', { body: { ...FUNCTIONS, rewrites: RULES } });
    await peer.ask('PUT /_design/w2', { body: { ...FUNCTIONS, rewrites: [] } });
    await peer.ask('PUT /_design/w3', {
      body: { ...FUNCTIONS, rewrites: [{ from: 'x', to: '../../../_all_dbs' }] },
    });
    const rewrites = 'function (req) { return eval("(" + (req.query.r || req.body) + ")"); }';
    await peer.ask('PUT /_design/f', { body: { ...FUNCTIONS, rewrites } });
    await peer.ask('PUT /_design/bad', { body: { rewrites: '1' } });
  });
  afterAll(() => peer.stop());

  test.each<[request: string, answer: string, options?: AskOptions]>([
    ['GET /_design/w/_rewrite', `200 ${JSON_TYPE} vary=Accept ["GET","w/_show/s/a","a","undefined"]`],
    ['HEAD /_design/w/_rewrite/', `200 ${JSON_TYPE} vary=Accept`],
    ['POST /_design/w/_rewrite', `404 ${JSON_TYPE} {"error":"not_found","reason":"missing"}`, { body: {} }],
    [
      'GET /_design/w/_rewrite/show/a?more=x',
      `200 ${JSON_TYPE} vary=Accept ["GET","w/_show/s/a?k=a&l=x&more=x&id=a","a","undefined"]`,
    ],
    [
      'GET /_design/w/_rewrite/show/b%2Fc',
      `200 ${JSON_TYPE} vary=Accept ["GET","w/_show/s/b%2Fc?k=b%2Fc&l=%3Amore&id=b%2Fc","b/c","undefined"]`,
    ],
    [
      'POST /_design/w/_rewrite/show/a',
      `200 ${JSON_TYPE} vary=Accept ["POST","w/_show/s/a?k=a&l=%3Amore&id=a","a","sent"]`,
      { body: 'sent', headers: TEXT },
    ],
    [
      'PUT /_design/w/_rewrite/make/x',
      `200 ${JSON_TYPE} ["PUT","x","sent"]`,
      { body: 'sent', headers: TEXT },
    ],
    [
      'GET /_design/w/_rewrite/make/a',
      `200 ${JSON_TYPE} vary=Accept ["GET","w/_show/s/a?id=a","a","undefined"]`,
    ],
    ['DELETE /_design/w/_rewrite/make/a', `404 ${JSON_TYPE} {"error":"not_found","reason":"missing"}`],
    [
      'PUT /_design/w/_rewrite/doc/a',
      `409 ${JSON_TYPE} {"error":"conflict","reason":"Document update conflict."}`,
      { body: {} },
    ],
    ['GET /_design/w/_rewrite/files/none', `404 ${JSON_TYPE} {"error":"not_found","reason":"missing"}`],
    [
      'GET /_design/w/_rewrite/once',
      `200 ${JSON_TYPE} vary=Accept ["GET","w/_show/s/a?k=a&l=%3Amore&id=a","a","undefined"]`,
    ],
    [
      'GET /_design/w/_rewrite/ever/a',
      `400 ${JSON_TYPE} {"error":"bad_request","reason":"Exceeded rewrite recursion limit"}`,
    ],
    ['GET /_design/w/_rewrite/other', `200 ${JSON_TYPE} vary=Accept ["GET","w2/_show/s/a","a","undefined"]`],
    ['GET /_design/w/_rewrite/nowhere', `404 ${JSON_TYPE} {"error":"not_found","reason":"missing"}`],
    ['GET /_design/w2/_rewrite', `404 ${JSON_TYPE} {"error":"not_found","reason":"missing"}`],
    [
      'GET /_design/w3/_rewrite/x',
      `500 ${JSON_TYPE} {"error":"insecure_rewrite_rule","reason":"too many ../.. segments"}`,
    ],
    [
      'GET /_design/bad/_rewrite',
      `500 ${JSON_TYPE} {"error":"compilation_error","reason":"Expression does not eval to a function. (1)"}`,
    ],
  ])('%s', async (request, answer, options) => {
    expect(await peer.ask(request, options)).toBe(answer);
  });

  test('what a rule leads to is answered as it would be by itself', async () => {
    const direct = await peer.json('GET /a');
    expect(await peer.json('GET /_design/w/_rewrite/doc/a')).toEqual(direct);
    expect(await peer.json('GET /_design/w/_rewrite/files/a')).toEqual(direct);
    expect(await peer.json('GET /_design/w/_rewrite/files/_all_docs?limit=1')).toMatchObject({
      total_rows: 7,
    });
    expect(await peer.json('GET /_design/w/_rewrite/files')).toMatchObject({ db_name: peer.database });
  });

  const shown = (...parts: readonly unknown[]): string =>
    `200 ${JSON_TYPE} vary=Accept ${JSON.stringify(parts)}`;

  test.each<readonly [code: string, answer: string]>([
    ['"_show/s/a"', shown('POST', 'f/_show/s/a?y=1', 'a', undefined)],
    ['"/_show/s/b%2Fc"', shown('POST', 'f/_show/s/b%2Fc?y=1', 'b/c', undefined)],
    ['{path: "_show/s/x/../a", query: {a: "b&c"}}', shown('POST', 'f/_show/s/a?a=b%26c', 'a', undefined)],
    ['{path: "../w2/_show/s/a", method: "PUT", body: "bb"}', shown('PUT', 'w2/_show/s/a?y=1', 'a', 'bb')],
    ['{path: "_update/u/i", method: "PUT", body: "bb"}', `200 ${JSON_TYPE} ["PUT","i","bb"]`],
    [
      '{path: "_update/u", method: "GET"}',
      `405 ${JSON_TYPE} {"error":"method_not_allowed","reason":"Update functions do not allow GET"}`,
    ],
    [
      '{path: "_rewrite/x"}',
      `400 ${JSON_TYPE} {"error":"bad_request","reason":"Exceeded rewrite recursion limit"}`,
    ],
    ['{path: "_show/s/a", query: []}', `500 ${JSON_TYPE} {"error":"rewrite_error","reason":"bad query"}`],
    ['{path: "_show/s/a", headers: []}', `500 ${JSON_TYPE} {"error":"rewrite_error","reason":"bad headers"}`],
    ['{path: 1}', `500 ${JSON_TYPE} {"error":"rewrite_error","reason":"bad path"}`],
    [
      '{body: "x"}',
      `500 ${JSON_TYPE} {"error":"rewrite_error","reason":"Rewrite result must produce a new path."}`,
    ],
    ['null', `404 ${JSON_TYPE} {"error":"rewrite_error","reason":"Invalid path."}`],
    ['""', `404 ${JSON_TYPE} {"error":"rewrite_error","reason":"Invalid path."}`],
    ['1', `500 ${JSON_TYPE} {"error":"rewrite_error","reason":"bad rewrite"}`],
    ['{code: 404, headers: {"X-A": "b", "Content-Type": "text/x"}, body: "x"}', '404 text/x x-a=b x'],
    ['{code: 302, headers: {Location: "/x", "Content-Type": "text/x"}, body: ""}', '302 text/x location=/x'],
    [
      '(function () { throw "x"; })()',
      `500 ${JSON_TYPE} {"error":"rewrite_error","reason":"function raised error: x \\nstacktrace: undefined"}`,
    ],
  ])('a function that returns %s', async (code, answer) => {
    const request = 'POST /_design/f/_rewrite/x?y=1';
    const sent = JSON.stringify(code).slice(1, -1);
    expect(await peer.ask(request, { body: code, headers: TEXT })).toBe(
      answer.replace('null]', `"${sent}"]`),
    );
  });
});

describe('rewrites', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startApp();
    await app.request('PUT', '/db');
    await app.request('PUT', '/other');
    await app.request('PUT', '/other/secret', { json: { n: 1 } });
    await app.request('PUT', '/db/_security', {
      json: { admins: { names: ['dbadmin'], roles: [] }, members: { names: ['member'], roles: [] } },
    });
    await app.request('PUT', '/db/a', { json: {} });
    const rewrites = 'function (req) { return JSON.parse(req.query.to); }';
    await app.request('PUT', '/db/_design/f', { as: 'dbadmin', json: { ...FUNCTIONS, rewrites } });
    await app.request('PUT', '/db/_design/w', {
      as: 'dbadmin',
      json: { ...FUNCTIONS, rewrites: [{ from: '*', to: '../../*' }] },
    });
  });
  afterAll(() => app.stop());

  const rewritten = (to: unknown, options: Parameters<TestApp['request']>[2] = {}, method = 'GET') =>
    app.request(method, `/db/_design/f/_rewrite?to=${encodeURIComponent(JSON.stringify(to))}`, options);

  test.each(['GET', 'POST'])('listen for the client of a %s once, however many there are', async (method) => {
    const warnings: Error[] = [];
    const note = (warning: Error): void => void warnings.push(warning);
    process.on('warning', note);
    onTestFinished(() => void process.off('warning', note));
    const options = method === 'POST' ? { json: { n: 1 } } : {};
    const { status, body } = await rewritten({ path: '_rewrite' }, options, method);
    expect([status, body]).toEqual([
      400,
      { error: 'bad_request', reason: 'Exceeded rewrite recursion limit' },
    ]);
    expect(warnings.filter(({ name }) => name === 'MaxListenersExceededWarning')).toEqual([]);
  });

  test.each(['../../../other/secret', '../../../_all_dbs', '/../../../_session', '../../x/../../../_up'])(
    'never lead out of the database: %s',
    async (path) => {
      const { status, body } = await rewritten({ path });
      expect([status, body]).toEqual([
        500,
        { error: 'insecure_rewrite_rule', reason: 'too many ../.. segments' },
      ]);
    },
  );

  test.each(['/db/_design/w/_rewrite/../other/secret', '/db/_design/w/_rewrite/%2E%2E/other/secret'])(
    'nor does what a client puts into a rule: %s',
    async (path) => {
      const answer = await app.raw(
        `GET ${path} HTTP/1.1\r\nHost: x\r\nX-Test-User: admin\r\nConnection: close\r\n\r\n`,
      );
      expect(answer).toContain('insecure_rewrite_rule');
    },
  );

  test('need the right of what they lead to', async () => {
    const security = { path: '../../_security', method: 'PUT', body: '{}' };
    expect((await rewritten(security, { as: 'member' })).status).toBe(403);
    const design = { path: '../x', method: 'PUT', body: '{}' };
    expect((await rewritten(design, { as: 'member' })).status).toBe(403);
    expect((await rewritten(design, { as: 'dbadmin' })).status).toBe(201);
    expect((await rewritten({ path: '../../a' }, { as: 'stranger' })).status).toBe(403);
    expect((await rewritten({ path: '../../a' }, { as: null })).status).toBe(401);
    expect((await rewritten({ path: '../../a' }, { as: 'member' })).status).toBe(200);
  });

  test('do not make use of the rights of a server admin', async () => {
    for (const to of [
      { path: '../..', method: 'DELETE' },
      { path: '../../_purge', method: 'POST', body: '{}' },
    ]) {
      const { status, body } = await rewritten(to);
      expect([status, body]).toMatchObject([403, { error: 'forbidden' }]);
    }
    expect((await app.request('GET', '/db')).status).toBe(200);
  });

  test('do not let a function say who asks, from where, or where its body ends', async () => {
    const headers = {
      Authorization: 'Basic eDp5',
      Cookie: 'AuthSession=x',
      'X-Auth-CouchDB-UserName': 'x',
      Host: 'evil',
      Origin: 'https://evil',
      Referer: 'https://evil',
      'Content-Length': '5',
      'Transfer-Encoding': 'chunked',
      'Sec-Fetch-Site': 'same-origin',
      'X-Forwarded-For': '9.9.9.9',
      'X-Else': 'ü',
    };
    const { body } = await rewritten({ path: '_show/headers', headers }, { headers: { accept: 'a/b' } });
    expect(Object.keys(body as object).sort()).toEqual([
      'Accept',
      'Connection',
      'Host',
      'X-Else',
      'X-Test-User',
    ]);
    expect(body).toMatchObject({ 'X-Else': 'ü', Host: `127.0.0.1:${app.port}` });
    const split = await rewritten({ path: '_show/headers', headers: { 'X-A': 'a\r\nX-B: c' } });
    expect(split.status).toBe(500);
  });

  test('pass a body on that is longer than what is kept of it', async () => {
    const text = JSON.stringify({ _id: 'long', text: 'x'.repeat(1_000_000) });
    const sent = await app.request('PUT', '/db/_design/w/_rewrite/long', {
      text,
      headers: { 'content-type': 'application/json' },
    });
    expect(sent.status).toBe(201);
    const found = await app.request('GET', '/db/_design/w/_rewrite/long');
    expect(found.bytes.length).toBeGreaterThan(1_000_000);
    const replaced = await rewritten(
      { path: '../../short', method: 'PUT', body: '{"n":1}' },
      { text, headers: { 'content-type': 'application/json' } },
      'POST',
    );
    expect(replaced.status).toBe(201);
    expect((await app.request('GET', '/db/short')).body).toMatchObject({ n: 1 });
  });
});
