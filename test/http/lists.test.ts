import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { inParallel, until } from '../system/support/wait.js';
import { startApp, type TestApp } from './app.js';
import { couchPeer, ourPeer, type AskOptions, type FunctionsPeer } from './functions-peer.js';
import { Wire } from './wire.js';

/** With a CouchDB that may be written to, `http://admin:secret@127.0.0.1:5984`, the same is asked of that. */
const { COUCHDB_URL } = process.env;
const NAME = 'lists-facts';

const SERVERS: readonly (readonly [name: string, start: () => Promise<FunctionsPeer>])[] = [
  ['Causeway', () => ourPeer(NAME)],
  ...(COUCHDB_URL === undefined ? [] : [['CouchDB', () => couchPeer(COUCHDB_URL, NAME)] as const]),
];

const LISTS = {
  text: 'function (head, req) { return "s"; }',
  code: 'function () { start({code: 418, headers: {"X-A": "1", "Content-Type": "text/x"}}); return "t"; }',
  body: 'function () { start({body: "dropped"}); return "t"; }',
  unknown: 'function () { start({foo: 1}); return "t"; }',
  twice: 'function () { start({headers: {"X-A": "1"}}); start({code: 201}); return "t"; }',
  late: 'function () { send("a"); getRow(); start({code: 201}); send("b"); return "t"; }',
  row: 'function () { getRow(); send("b"); return "t"; }',
  throws: 'function () { send("lost"); throw "x"; }',
  forbids: 'function () { throw {error: "forbidden", reason: "no"}; }',
  message: 'function () { throw ["error", "not_found", "gone"]; }',
  breaks: 'function () { send("a"); getRow(); getRow(); send("lost"); throw "x"; }',
  early: 'function () { send("a"); var row = getRow(); send(row.id); return "end"; }',
  after: 'function () { var n = 0; while (getRow()) { n++; } return [n, getRow(), getRow()].join(); }',
  head: 'function (head) { if (head.update_seq) { head.update_seq = 1; } return JSON.stringify(head); }',
  rows: 'function () { var row, all = []; while (row = getRow()) { all.push(row); } return JSON.stringify(all); }',
  documents: `function (head) {
    var row, all = [head.offset];
    while (row = getRow()) { all.push(row.value.rev ? row.id + row.key : row); }
    return JSON.stringify(all);
  }`,
  req: 'function (head, req) { return JSON.stringify([req.method, req.id, req.query, req.body, req.form, req.path]); }',
  own: 'function () { return JSON.stringify([this._id, arguments.length]); }',
  provides: `function () {
    send("[");
    provides("html", function () { var row; while (row = getRow()) { send(row.id); } return "]"; });
    provides("text", function () { return "T]"; });
    return "dropped";
  }`,
  registered: 'function () { registerType("foo", "a/foo"); provides("foo", function () { return "F"; }); }',
  broken: 'function (',
  empty: '',
};

const JSON_TYPE = 'application/json';
const HTML = 'text/html; charset=utf-8';
const THROWN = 'function raised error: x \\nstacktrace: undefined';
const ACCEPT = (accept: string): AskOptions => ({ headers: { accept } });

describe.each(SERVERS)('list functions in %s', (_name, start) => {
  let peer: FunctionsPeer;
  beforeAll(async () => {
    peer = await start();
    const docs = ['a', 'b', 'c'].map((_id, k) => ({ _id, k }));
    await peer.ask('POST /_bulk_docs', { body: { docs } });
    const views = {
      k: { map: 'function (doc) { emit(doc.k, null); }' },
      n: { map: 'function (doc) { emit(doc.k % 2, 1); }', reduce: '_sum' },
    };
    await peer.ask('PUT /_design/l', { body: { views, lists: LISTS } });
    await peer.ask('PUT /_design/o', { body: { views: { v: { map: 'function (doc) { emit(doc.k); }' } } } });
  });
  afterAll(() => peer.stop());

  test.each<[path: string, answer: string, options?: AskOptions]>([
    ['text/k', `200 ${JSON_TYPE} s`],
    ['code/k', '418 text/x x-a=1 t'],
    ['body/k', `200 ${HTML} t`],
    ['twice/k', `201 ${JSON_TYPE} t`],
    ['late/k', `200 ${JSON_TYPE} abt`],
    ['row/k', `200 ${JSON_TYPE} bt`],
    ['throws/k', `500 ${JSON_TYPE} {"error":"render_error","reason":"${THROWN}"}`],
    ['forbids/k', `403 ${JSON_TYPE} {"error":"forbidden","reason":"no"}`],
    ['message/k', `404 ${JSON_TYPE} {"error":"not_found","reason":"gone"}`],
    ['breaks/k', `200 ${JSON_TYPE} a\n{"code":500,"error":"render_error","reason":"${THROWN}"}`],
    ['early/k', `200 ${JSON_TYPE} aaend`],
    ['after/k', `200 ${JSON_TYPE} 3,,`],
    ['head/k', `200 ${JSON_TYPE} {"total_rows":3,"offset":0}`],
    ['head/k?key=1&skip=1', `200 ${JSON_TYPE} {"total_rows":3,"offset":2}`],
    ['head/k?limit=0&update_seq=true', `200 ${JSON_TYPE} {"total_rows":3,"offset":0,"update_seq":1}`],
    ['head/n', `200 ${JSON_TYPE} {}`],
    ['rows/n', `200 ${JSON_TYPE} [{"key":null,"value":3}]`],
    ['rows/n?group=true', `200 ${JSON_TYPE} [{"key":0,"value":2},{"key":1,"value":1}]`],
    [
      'rows/k?keys=[2,1]',
      `200 ${JSON_TYPE} [{"id":"c","key":2,"value":null},{"id":"b","key":1,"value":null}]`,
    ],
    ['rows/o/v?limit=1', `200 ${JSON_TYPE} [{"id":"a","key":0,"value":null}]`],
    [
      'req/k?key=1&a=b',
      `200 ${JSON_TYPE} ["GET",null,{"key":1,"a":"b"},"undefined",{},["lists-facts","_design","l","_list","req","k"]]`,
    ],
    ['own/k', `200 ${JSON_TYPE} ["_design/l",2]`],
    ['provides/k', `200 ${HTML} [abc]`, ACCEPT('text/html')],
    ['provides/k', '200 text/plain; charset=utf-8 [T]', ACCEPT('text/plain')],
    ['registered/k?format=foo', '200 a/foo F'],
    [
      'empty/k',
      `404 ${JSON_TYPE} {"error":"not_found","reason":"missing lists function empty on design doc _design/l"}`,
    ],
    ['none/none', `404 ${JSON_TYPE} {"error":"not_found","reason":"missing json key: none"}`],
    ['documents/_all_docs?startkey="b"&skip=1', `200 ${JSON_TYPE} [4,"cc"]`],
    ['documents/o/_all_docs?key="a"', `200 ${JSON_TYPE} [2,"aa"]`],
    [
      'documents/_all_docs?keys=["c","nix"]',
      `200 ${JSON_TYPE} [null,"cc",{"id":"error","key":"nix","value":"not_found"}]`,
    ],
    [
      'documents/_all_docs?group=true',
      `400 ${JSON_TYPE} {"error":"query_parse_error","reason":"Invalid use of grouping on a map view."}`,
    ],
    ['rows/none', `404 ${JSON_TYPE} {"error":"not_found","reason":"missing_named_view"}`],
    ['rows/o/none', `404 ${JSON_TYPE} {"error":"not_found","reason":"missing_named_view"}`],
    [
      'rows/k?group=true',
      `400 ${JSON_TYPE} {"error":"query_parse_error","reason":"Invalid use of grouping on a map view."}`,
    ],
    ['rows/k/x/y', `404 ${JSON_TYPE} {"error":"list_error","reason":"Invalid path."}`],
  ])('%s', async (path, answer, options) => {
    expect(await peer.ask(`GET /_design/l/_list/${path}`, options)).toBe(answer);
  });

  test('what does not begin an answer is told as an error', async () => {
    expect(await peer.ask('GET /_design/l/_list/unknown/k')).toContain(`500 ${JSON_TYPE} {"error":"external`);
    expect(await peer.ask('GET /_design/l/_list/broken/k')).toContain(`500 ${JSON_TYPE} {"error":"compil`);
    expect(await peer.ask('GET /_design/l/_list/provides/k', ACCEPT('a/b'))).toContain(
      `406 ${JSON_TYPE} {"error":"not_acceptable","reason":"Content-Type a/b not supported, try one of: text/`,
    );
    expect(await peer.ask('HEAD /_design/l/_list/text/k')).toBe(`200 ${JSON_TYPE}`);
    expect(await peer.ask('HEAD /_design/l/_list/throws/k')).toBe(`500 ${JSON_TYPE}`);
  });

  test('the body of a POST asks the view, and is seen as its value', async () => {
    const body = { keys: [2], x: 1 };
    const ask = (list: string, sent: unknown) => peer.ask(`POST /_design/l/_list/${list}/k`, { body: sent });
    expect(await ask('rows', body)).toBe(`200 ${JSON_TYPE} [{"id":"c","key":2,"value":null}]`);
    expect(await peer.ask('POST /_design/l/_list/documents/_all_docs', { body: { keys: ['b'] } })).toBe(
      `200 ${JSON_TYPE} [null,"bb"]`,
    );
    expect(await ask('req', body)).toContain('["POST",null,{},{"keys":[2],"x":1},{},');
    expect(await ask('none', 'no JSON')).toBe(
      `400 ${JSON_TYPE} {"error":"bad_request","reason":"invalid UTF-8 JSON"}`,
    );
  });
});

describe('list functions that take long', () => {
  const MiB = 1024 * 1024;
  let app: TestApp;
  let wires: Wire[] = [];

  beforeAll(async () => {
    app = await startApp({
      functions: { timeout: 400, memory: 32 * MiB },
      limits: { progressTimeout: 400, minTransferRate: 1000 },
    });
    await app.request('PUT', '/db');
    const docs = Array.from({ length: 100 }, (_, n) => ({ _id: `d${String(n)}`, pad: 'x'.repeat(3000) }));
    await app.request('POST', '/db/_bulk_docs', { json: { docs } });
    const views = {
      v: { map: 'function (doc) { for (var i = 0; i < 200; i++) { emit(doc._id, i); } }' },
    };
    const lists = {
      count: 'function () { var n = 0; while (getRow()) { n++; send("r"); } return String(n); }',
      large: 'function () { var s = new Array(50001).join("x"); while (getRow()) { send(s); } }',
      loop: 'function () { while (true); }',
      rows: 'function () { while (true) { getRow(); } }',
      output: 'function () { var s = new Array(1001).join("x"); getRow(); while (true) { send(s); } }',
      silent: 'function () { getRow(); while (true); }',
      memory: 'function () { getRow(); var all = []; while (true) { all.push(new Array(100000)); } }',
      working: `function () {
        while (getRow()) { send("x"); for (var end = Date.now() + 50; Date.now() < end;) {} }
      }`,
    };
    await app.request('PUT', '/db/_design/l', { json: { views, lists } });
    await app.request('GET', '/db/_design/l/_view/v?limit=1');
  });
  afterEach(() => {
    for (const wire of wires) wire.cut();
    wires = [];
  });
  afterAll(() => app.stop());

  const list = (name: string, query = '') => app.request('GET', `/db/_design/l/_list/${name}/v${query}`);

  const connections = (): Promise<number> =>
    new Promise((resolve) => app.app.server.getConnections((_error, count) => resolve(count)));

  async function ask(name: string, port = app.port): Promise<Wire> {
    const wire = await Wire.open(port);
    wires.push(wire);
    await wire.send(`GET /db/_design/l/_list/${name}/v HTTP/1.1\r\nHost: x\r\nX-Test-User: admin\r\n\r\n`);
    return wire;
  }

  test('go on with as many rows as there are, in flat memory', async () => {
    // What the server says of a thread that ended tells why.
    const said = (): string => app.errors.join('');
    expect((await list('count', '?limit=100')).text.slice(-5), said()).toBe('rr100');
    const before = process.memoryUsage().rss;
    // That is more than a machine may take.
    const { text } = await list('count', '?include_docs=true');
    expect(text.slice(-7), said()).toBe('rr20000');
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * MiB);
  });

  test.each(['loop', 'memory'])('are stopped, %s', async (name) => {
    const { status, text } = await list(name);
    expect([status, text]).toEqual(
      name === 'loop'
        ? [500, '{"error":"os_process_error","reason":"OS process timed out."}\n']
        : [200, expect.stringContaining('"code":500') as string],
    );
    expect((await list('count', '?limit=2')).text).toBe('rr2');
  });

  test.each(['rows', 'output', 'silent'])('are stopped where the answer has begun, %s', async (name) => {
    const { status, text } = await list(name, '?limit=3');
    expect(status).toBe(200);
    expect(text.slice(-120)).toContain(
      '{"code":500,"error":"os_process_error","reason":"OS process timed out."}',
    );
  });

  test('have their time for each row, and all rows together twelve times that', async () => {
    const { text } = await list('working', '?limit=20');
    expect(text).toBe('x'.repeat(20));
    const { text: whole } = await list('working');
    expect(whole.length).toBeLessThan(1000);
    expect(whole).toContain('OS process timed out.');
  });

  test('wait for slow clients, without keeping what they do not take, and give them up', async () => {
    const before = process.memoryUsage().rss;
    await inParallel(Array.from({ length: 6 }), 6, async () => (await ask('large')).pause());
    await until('all have asked', async () => (await connections()) === 6);
    const waiting = list('count', '?limit=1');
    expect((await app.request('GET', '/db/d1')).status).toBe(200);
    // There are threads for four of them at a time.
    expect((await waiting).text).toBe('r1');
    await until('all are given up', async () => (await connections()) === 0);
    expect(process.memoryUsage().rss - before).toBeLessThan(128 * MiB);
  });

  test('end with their clients', async () => {
    const patient = await startApp({ functions: { timeout: 600_000 } });
    await patient.request('PUT', '/db');
    const views = { v: { map: 'function (doc) { emit(doc._id); }' } };
    const lists = {
      begun: 'function () { send("begun"); getRow(); while (true); }',
      text: 'function () { return "text"; }',
    };
    await patient.request('PUT', '/db/_design/l', { json: { views, lists } });
    const asked = await inParallel(Array.from({ length: 6 }), 6, () => ask('begun', patient.port));
    const running = (): number => asked.filter(({ rest }) => rest.includes('begun')).length;
    await until('there are as many as there may be', () => running() === 4);
    const waiting = patient.request('GET', '/db/_design/l/_list/text/v');
    for (const wire of asked) wire.cut();
    expect((await waiting).text).toBe('text');
    await patient.stop();
  });
});
