import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { couchPeer, ourPeer, type AskOptions, type FunctionsPeer } from './functions-peer.js';

/** With a CouchDB that may be written to, `http://admin:secret@127.0.0.1:5984`, the same is asked of that. */
const { COUCHDB_URL } = process.env;
const NAME = 'functions-facts';

const SERVERS: readonly (readonly [name: string, start: () => Promise<FunctionsPeer>])[] = [
  ['Causeway', () => ourPeer(NAME)],
  ...(COUCHDB_URL === undefined ? [] : [['CouchDB', () => couchPeer(COUCHDB_URL, NAME)] as const]),
];

/** The value of what stands in the query or the body. */
const EVALUATE = 'function (doc, req) { return eval("(" + (req.query.r || req.body) + ")"); }';
const ECHO = `function (doc, req) {
  return {json: {id: doc && doc._id, method: req.method, query: req.query, raw_path: req.raw_path, body: req.body}};
}`;

const DESIGN = {
  shows: {
    r: EVALUATE,
    doc: 'function (doc) { return {json: doc}; }',
    req: `function (doc, req) {
      delete req.info; delete req.uuid; delete req.secObj; delete req.headers.Host; delete req.headers["X-Test-User"];
      return {json: req};
    }`,
    order: 'function (doc, req) { return {json: [Object.keys(req), Object.keys(req.info)]}; }',
    echo: ECHO,
  },
  updates: {
    r: EVALUATE,
    doc: 'function (doc) { return [null, {json: doc}]; }',
    method: 'function (doc, req) { return [null, {json: [req.method, req.id]}]; }',
  },
  filters: {
    r: EVALUATE,
    dump: `function (doc, req) {
      if (doc._id !== req.query.id) { return false; }
      throw ["error", "dump", JSON.stringify(req.query.req ? [req.body, req.query, req.method, req.id] : doc)];
    }`,
    'a/b': 'function () { return true; }',
  },
  views: {
    big: { map: 'function (doc) { if (doc.n > 1) { emit(doc._id, 1); } }' },
    all: { map: 'function (doc) { emit(1, 1); emit(2, 2); }' },
  },
};

const HTML = 'text/html; charset=utf-8';
const JSON_TYPE = 'application/json';
const FAILED = `500 ${JSON_TYPE} {"error":"render_error","reason":"function raised error: `;

describe.each(SERVERS)('functions of design documents in %s', (_name, start) => {
  let peer: FunctionsPeer;
  let rev: string;

  beforeAll(async () => {
    peer = await start();
    const _attachments = { 'x.txt': { data: 'aGk=', content_type: 'text/plain' } };
    ({ rev } = (await peer.json('PUT /doc', { body: { n: 1, _attachments } })) as { rev: string });
    const conflicting = ['aa', 'bb', 'cc'].map((hash, at) => ({
      _id: 'conf',
      _rev: `2-${hash}`,
      v: at,
      ...(hash === 'cc' && { _deleted: true }),
      _revisions: { start: 2, ids: [hash, '00'] },
    }));
    await peer.ask('POST /_bulk_docs', { body: { new_edits: false, docs: conflicting } });
    await peer.ask('POST /_bulk_docs', {
      body: {
        docs: [
          { _id: 'a/b', n: 2 },
          { _id: 'd3', n: 3 },
        ],
      },
    });
    await peer.ask('PUT /_local/l', { body: { n: 4 } });
    const gone = (await peer.json('PUT /gone', { body: { n: 5 } })) as { rev: string };
    await peer.ask(`DELETE /gone?rev=${gone.rev}`);
    await peer.ask('PUT /_design/t', { body: DESIGN });
    await peer.ask('PUT /_design/none', { body: {} });
    await peer.ask('PUT /_design/u%2Fv', { body: DESIGN });
  });
  afterAll(() => peer.stop());

  test.each<readonly [code: string, answer: string]>([
    ['"str"', `200 ${HTML} vary=Accept str`],
    ['{body: "b"}', `200 ${HTML} vary=Accept b`],
    ['{json: null}', `200 ${JSON_TYPE} vary=Accept null`],
    ['{}', `200 ${JSON_TYPE} vary=Accept`],
    ['null', `200 ${JSON_TYPE} vary=Accept`],
    ['undefined', `200 ${JSON_TYPE} vary=Accept`],
    ['1', `500 ${JSON_TYPE} {"error":"render_error","reason":"undefined response from show function"}`],
    ['true', `500 ${JSON_TYPE} {"error":"render_error","reason":"undefined response from show function"}`],
    ['{base64: "aGk="}', '200 application/binary vary=Accept hi'],
    ['{code: 302, headers: {Location: "/x"}}', `302 ${JSON_TYPE} location=/x vary=Accept`],
    [
      '{code: 418, headers: {"Content-Type": "text/x", "X-A": "b"}, body: "b"}',
      '418 text/x x-a=b vary=Accept b',
    ],
    ['{headers: {"X-A": 1, Vary: "Foo", ETag: "foo"}, body: "b"}', `200 ${HTML} x-a=1 vary=Accept b`],
    ['(function () { throw "f"; })()', `${FAILED}f \\nstacktrace: undefined"}`],
    ['(function () { throw {forbidden: "f"}; })()', `${FAILED}[object Object] \\nstacktrace: undefined"}`],
    ['(function () { throw {error: "e", reason: "r"}; })()', `500 ${JSON_TYPE} {"error":"e","reason":"r"}`],
    ['(function () { throw ["error", "e", "r"]; })()', `500 ${JSON_TYPE} {"error":"e","reason":"r"}`],
    ['(function () { send("x"); return "y"; })()', `200 ${HTML} vary=Accept xy`],
    ['toJSON({a: undefined})', `200 ${HTML} vary=Accept {}`],
  ])('a show function that returns %s', async (code, answer) => {
    expect(await peer.ask(`GET /_design/t/_show/r/doc?r=${encodeURIComponent(code)}`)).toBe(answer);
  });

  test.each<readonly [request: string, answer: string]>([
    ['GET /_design/t/_show', `404 ${JSON_TYPE} {"error":"show_error","reason":"Invalid path."}`],
    [
      'GET /_design/none/_show/r/doc',
      `404 ${JSON_TYPE} {"error":"not_found","reason":"missing json key: shows"}`,
    ],
    ['GET /_design/t/_show/none', `404 ${JSON_TYPE} {"error":"not_found","reason":"missing json key: none"}`],
    [
      'GET /_design/t/_show/toString',
      `404 ${JSON_TYPE} {"error":"not_found","reason":"missing json key: toString"}`,
    ],
    ['PUT /_design/not/_show/r', `404 ${JSON_TYPE} {"error":"not_found","reason":"missing"}`],
    [
      'GET /_design/t/_show/r/doc?key=abc',
      `400 ${JSON_TYPE} {"error":"bad_request","reason":"invalid UTF-8 JSON"}`,
    ],
    ['GET /_design/t/_update', `404 ${JSON_TYPE} {"error":"update_error","reason":"Invalid path."}`],
    [
      'GET /_design/t/_update/none',
      `404 ${JSON_TYPE} {"error":"not_found","reason":"missing json key: none"}`,
    ],
    [
      'GET /_design/t/_update/r',
      `405 ${JSON_TYPE} {"error":"method_not_allowed","reason":"Update functions do not allow GET"}`,
    ],
    [
      'PUT /_design/none/_update/r',
      `404 ${JSON_TYPE} {"error":"not_found","reason":"missing json key: updates"}`,
    ],
    ['PUT /_design/t/_update/method', `200 ${JSON_TYPE} ["PUT",null]`],
    ['DELETE /_design/t/_update/method/doc', `200 ${JSON_TYPE} ["DELETE","doc"]`],
    ['OPTIONS /_design/t/_update/method/a/b', `200 ${JSON_TYPE} ["OPTIONS","a/b"]`],
    ['GET /_design/t/_list/f', `404 ${JSON_TYPE} {"error":"list_error","reason":"Invalid path."}`],
    [
      'GET /_design/t/_list/f/all',
      `404 ${JSON_TYPE} {"error":"not_found","reason":"missing json key: lists"}`,
    ],
    ['GET /_design/t/_rewrite/x', `404 ${JSON_TYPE} {"error":"rewrite_error","reason":"Invalid path."}`],
    ['GET /_design/not/_rewrite', `404 ${JSON_TYPE} {"error":"not_found","reason":"missing"}`],
  ])('%s', async (request, answer) => {
    expect(await peer.ask(request)).toBe(answer);
  });

  test('which documents functions get, and with what', async () => {
    const show = (id: string) => peer.json(`GET /_design/t/_show/doc/${id}`);
    const [, hash] = rev.split('-');
    expect(await show('doc')).toEqual({
      _id: 'doc',
      _rev: rev,
      n: 1,
      _revisions: { start: 1, ids: [hash] },
      _attachments: {
        'x.txt': {
          content_type: 'text/plain',
          revpos: 1,
          digest: expect.any(String) as string,
          length: 2,
          stub: true,
        },
      },
    });
    expect(await show('conf')).toEqual({
      _id: 'conf',
      _rev: '2-bb',
      v: 1,
      _revisions: { start: 2, ids: ['bb', '00'] },
      _conflicts: ['2-aa'],
    });
    expect(await show('a%2Fb')).toMatchObject({ _id: 'a/b' });
    expect(await show('a/b')).toMatchObject({ _id: 'a/b' });
    expect(await show('_local/l')).toEqual({
      _id: '_local/l',
      _rev: '0-1',
      n: 4,
      _revisions: { start: 0, ids: ['1'] },
    });
    expect(await show('_design/none')).toMatchObject({ _id: '_design/none' });
    expect(await peer.json('GET /_design/u%2Fv/_show/doc/doc')).toMatchObject({ _id: 'doc' });
    for (const id of ['none', 'gone', '_local/none', '_x']) {
      expect(await peer.json(`PUT /_design/t/_update/doc/${id}`), id).toBeNull();
      expect(await show(id), id).toBeNull();
    }
  });

  test('what functions see of a request', async () => {
    const headers = {
      cookie: 'a=b',
      'x-a-LONG-name': '1',
      'x-b': ['1', '2'],
      connection: 'close',
    };
    const query =
      'startkey=1&start_key=2&key=%5B3%5D&descending=true&limit=3&__proto__=4&a%20b=c+d&x=1&x=2&y';
    const path = `/${peer.database}/_design/t/_show/req/a%2Fb`;
    // Without those of the tests, in which users say who they are.
    const seen = (await peer.json(`GET /_design/t/_show/req/a%2Fb?${query}`, { headers })) as Record<
      string,
      unknown
    >;
    expect(seen).toEqual({
      id: 'a/b',
      method: 'GET',
      requested_path: [
        peer.database,
        '_design',
        't',
        '_show',
        'req',
        `a/b?${decodeURIComponent(query).replace('+', ' ')}`,
      ],
      path: [peer.database, '_design', 't', '_show', 'req', 'a/b'],
      raw_path: `${path}?${query}`,
      query: JSON.parse(
        '{"startkey":1,"start_key":"2","key":[3],"descending":true,"limit":"3","__proto__":"4","a b":"c d","x":"2","y":""}',
      ) as unknown,
      headers: { Connection: 'close', 'X-A-Long-Name': '1', 'X-B': '1, 2' },
      body: 'undefined',
      peer: '127.0.0.1',
      form: {},
      cookie: {},
      userCtx: { db: peer.database, name: 'admin', roles: ['_admin'] },
    });
    const [members, info] = (await peer.json('GET /_design/t/_show/order')) as string[][];
    expect(members?.join()).toBe(
      'info,uuid,id,method,requested_path,path,raw_path,query,headers,body,peer,form,cookie,userCtx,secObj',
    );
    expect(info).toContain('doc_count');
  });

  test.each<readonly [method: string, body: string | undefined, type: string, seen: object]>([
    [
      'POST',
      'a=%C3%A4&b&=c&d=1;e=2+3&d=4',
      'application/x-www-form-urlencoded; charset=utf-8',
      { a: 'ä', b: '', '': 'c', d: '4', e: '2 3' },
    ],
    ['POST', '{"a":1}', JSON_TYPE, {}],
    ['PUT', 'é', 'text/plain', {}],
    ['POST', '', JSON_TYPE, {}],
    ['DELETE', undefined, 'text/plain', {}],
  ])('a body that is sent by %s: %j of type %s', async (method, body, type, form) => {
    const seen = await peer.json(`${method} /_design/t/_show/req`, {
      body,
      headers: { 'content-type': type },
    });
    expect(seen).toMatchObject({ method, body: body ?? 'undefined', form });
  });

  test.each<readonly [code: string, answer: string]>([
    ['[null, "s"]', `200 ${HTML} s`],
    ['[null, {}]', `200 ${JSON_TYPE}`],
    [
      '[null]',
      `500 ${JSON_TYPE} {"error":"render_error","reason":"undefined response from update function"}`,
    ],
    ['{}', `500 ${JSON_TYPE} {"error":"render_error","reason":"undefined response from update function"}`],
    [
      '[{_id: "u0"}, 1]',
      `500 ${JSON_TYPE} {"error":"render_error","reason":"undefined response from update function"}`,
    ],
    ['[1, "x"]', `200 ${HTML} x`],
    ['[[], "x"]', `200 ${HTML} x`],
    ['[undefined, "x"]', `200 ${HTML} x`],
    ['[{}, "x"]', `400 ${JSON_TYPE} {"error":"illegal_docid","reason":"Document id must not be empty"}`],
    ['[{_id: 1}, "x"]', `400 ${JSON_TYPE} {"error":"illegal_docid","reason":"Document id must be a string"}`],
    [
      '[{_id: "_bad"}, "x"]',
      `400 ${JSON_TYPE} {"error":"illegal_docid","reason":"Only reserved document ids may start with underscore."}`,
    ],
    [
      '[{_id: "u1", _foo: 1}, "x"]',
      `400 ${JSON_TYPE} {"error":"doc_validation","reason":"Bad special document member: _foo"}`,
    ],
    ['[{_id: "u1", _rev: 1}, "x"]', `400 ${JSON_TYPE} {"error":"bad_request","reason":"Invalid rev format"}`],
    ['[{_id: "u1", n: 1}, "x"]', `201 ${HTML} x-couch-id=u1 x`],
    [
      '[{_id: "u1", n: 1}, "x"]',
      `409 ${JSON_TYPE} {"error":"conflict","reason":"Document update conflict."}`,
    ],
    [
      '[{_id: "u2"}, {code: 400, json: {a: 1}, headers: {"X-A": "b"}}]',
      `400 ${JSON_TYPE} x-a=b x-couch-id=u2 {"a":1}`,
    ],
    ['[{_id: "u3", _deleted: true}, "x"]', `201 ${HTML} x-couch-id=u3 x`],
    ['[{_id: "_local/u", n: 1}, "x"]', `201 ${HTML} x-couch-id=_local%2Fu x`],
    ['[{_id: "_design/u", n: 1}, "x"]', `201 ${HTML} x-couch-id=_design%2Fu x`],
    [
      '[{_id: "_design/w", views: 1}, "x"]',
      `400 ${JSON_TYPE} {"error":"invalid_design_doc","reason":"\`views\` field must have object type"}`,
    ],
    [
      '[{_id: "u4", _attachments: {"y": {data: "aGk=", content_type: "text/plain"}}}, "x"]',
      `201 ${HTML} x-couch-id=u4 x`,
    ],
    [
      '[{_id: "u5", _attachments: {"y": {stub: true}}}, "x"]',
      `412 ${JSON_TYPE} {"error":"missing_stub","reason":"Invalid attachment stub in u5 for y"}`,
    ],
    ['[{_id: "gone"}, "x"]', `201 ${HTML} x-couch-id=gone x`],
    ['(function () { throw {forbidden: "no"}; })()', `${FAILED}[object Object] \\nstacktrace: undefined"}`],
    ['(function () { send("q"); return [{_id: "u6"}, "z"]; })()', `201 ${HTML} x-couch-id=u6 z`],
  ])('an update function that returns %s', async (code, answer) => {
    const headers = { 'content-type': 'text/plain' };
    expect(await peer.ask('POST /_design/t/_update/r', { body: code, headers })).toBe(answer);
  });

  test('a document that is changed by an update function keeps its attachments while it names them', async () => {
    const update = (body: string) =>
      peer.ask('PUT /_design/t/_update/r/doc', { body, headers: { 'content-type': 'text/plain' } });
    expect(await update('[{n: 1}, "x"]')).toMatch(/^400 .*must not be empty/);
    expect(await update('[{_id: "doc", n: 1}, "x"]')).toMatch(/^409 /);
    expect(await update('[{_id: "other", n: 1}, "x"]')).toBe(`201 ${HTML} x-couch-id=other x`);
    expect(await update('(doc.n = 2, [doc, "x"])')).toBe(`201 ${HTML} x-couch-id=doc x`);
    expect(await peer.json('GET /doc')).toMatchObject({ n: 2, _attachments: { 'x.txt': { revpos: 1 } } });
    expect(await update('(delete doc._attachments, [doc, "x"])')).toMatch(/^201 /);
    expect(await peer.json('GET /doc')).not.toHaveProperty('_attachments');
    expect(await update('(doc._deleted = true, [doc, "x"])')).toMatch(/^201 /);
    expect(await peer.json('GET /doc')).toMatchObject({ reason: 'deleted' });
    expect(await update('[{_id: "doc", n: 1}, {json: doc}]')).toBe(`201 ${JSON_TYPE} x-couch-id=doc null`);
  });

  // ---- filters --------------------------------------------------------------------------------------------------

  /** The ids of a feed, with revisions where there is not just one; or what was answered instead. */
  const changes = async (query: string, options?: AskOptions): Promise<string> => {
    const answer = (await peer.json(
      `${options?.body === undefined ? 'GET' : 'POST'} /_changes?${query}`,
      options,
    )) as {
      results?: { id: string; changes: { rev: string }[]; doc?: { _rev: string } }[];
      error?: string;
      reason?: string;
    };
    return (
      answer.results
        ?.filter(({ id }) => /^(conf|a\/b|d3|gone|_design\/none)$/.test(id))
        .map(({ id, changes: revs, doc }) => {
          const more = id === 'conf' ? `(${revs.map((one) => one.rev).join()})` : '';
          return id + more + (doc === undefined ? '' : `=${doc._rev.slice(0, 4)}`);
        })
        .join(' ') ?? `${answer.error}: ${answer.reason}`
    );
  };
  const filter = (code: string, more = '') => changes(`filter=t/r&r=${encodeURIComponent(code)}${more}`);

  test('what a filter function returns counts as JavaScript has it', async () => {
    const all = 'conf(2-bb) a/b d3 _design/none gone';
    const order = (text: string) => text.split(' ').sort();
    for (const code of ['true', '1', '"x"', '[]', '{}', 'new Boolean(false)']) {
      expect(order(await filter(code)), code).toEqual(order(all));
    }
    for (const code of ['false', '0', '""', 'null', 'undefined', 'NaN'])
      expect(await filter(code), code).toBe('');
  });

  test('with style=all_docs each leaf is judged, and the document that is shown is the winner', async () => {
    expect(await filter('doc.v == 1')).toBe('conf(2-bb)');
    expect(await filter('doc.v === 0')).toBe('');
    expect(await filter('doc.v === 0', '&style=all_docs')).toBe('conf(2-aa)');
    expect(await filter('doc.v === 2', '&style=all_docs')).toBe('conf(2-cc)');
    expect(await filter('doc.v < 2', '&style=all_docs&include_docs=true')).toBe('conf(2-bb,2-aa)=2-bb');
    expect(await filter('doc.n > 1 && doc.n < 4', '&descending=true')).toBe('d3 a/b');
    expect(await filter('doc.n > 1', '&limit=1')).toBe('a/b');
  });

  test('a view lets those through for which it emits', async () => {
    expect(await changes('filter=_view&view=t/big')).toBe('a/b d3');
    expect(await changes('filter=_view&view=t/all&limit=1&since=0')).not.toBe('');
  });

  test.each<readonly [query: string, answer: string]>([
    ['filter=none/x', 'not_found: missing json key: filters'],
    ['filter=t/none', 'not_found: missing json key: none'],
    ['filter=t/__proto__', 'not_found: missing json key: __proto__'],
    ['filter=not/x&since=now', 'not_found: missing'],
    ['filter=t/r/x', 'bad_request: `filter` must be of the form `designname/filtername`'],
    ['filter=t/', 'bad_request: `filter` must be of the form `designname/filtername`'],
    ['filter=_x', 'bad_request: unknown builtin filter name'],
    ['filter=_view&view=none/x', 'not_found: missing json key: views'],
    ['filter=_view&view=t/none', 'not_found: missing json key: none'],
    ['filter=_view', 'bad_request: `view` filter parameter is not provided.'],
  ])('%s is refused', async (query, answer) => {
    expect(await changes(query)).toBe(answer);
  });

  test('names of filters are decoded once more', async () => {
    expect(await changes('filter=u%252Fv/a%252Fb&limit=100')).toContain('d3');
    expect(await changes('filter=/t//r/&r=doc.n===3')).toBe('d3');
  });

  test('which documents filter functions get, and what of the request', async () => {
    // An error of a filter function says what it was given, in CouchDB within a term of Erlang.
    const dumped = async (query: string, options?: AskOptions): Promise<unknown> => {
      const request = `${options === undefined ? 'GET' : 'POST'} /_changes?filter=t/dump&${query}`;
      const { reason } = (await peer.json(request, options)) as { reason: string };
      const [, term] = /<<"(.*?)">>/s.exec(reason) ?? [];
      return JSON.parse(term?.replaceAll('\\"', '"') ?? reason) as unknown;
    };
    expect(await dumped('id=conf&style=all_docs')).toEqual({
      _id: 'conf',
      _rev: '2-bb',
      v: 1,
      _revisions: { start: 2, ids: ['bb'] },
    });
    expect(await dumped('id=conf&conflicts=true')).toMatchObject({ _conflicts: ['2-aa'] });
    expect(await dumped('id=d3&req=1')).toEqual([
      'undefined',
      { filter: 't/dump', id: 'd3', req: '1' },
      'GET',
      null,
    ]);
    expect(await dumped('id=d3&req=1', { body: { doc_ids: ['x'], a: 1 } })).toEqual([
      { doc_ids: ['x'], a: 1 },
      { filter: 't/dump', id: 'd3', req: '1' },
      'POST',
      null,
    ]);
  });
});
