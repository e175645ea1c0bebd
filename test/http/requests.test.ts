import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startApp, type TestApp } from './app.js';
import { Wire } from './wire.js';

let it: TestApp;
let count = 0;
beforeAll(async () => {
  it = await startApp({ limits: { maxHttpRequestSize: 100_000, maxAttachmentSize: 200_000 } });
  await it.request('PUT', '/db');
  await it.request('PUT', '/db/doc', { json: { v: 1 } });
});
afterAll(() => it.stop());

const nextPath = (): string => `/db/r${String(++count)}`;

const head = (line: string, ...headers: string[]): string =>
  `${[`${line} HTTP/1.1`, 'Host: x', 'X-Test-User: admin', ...headers].join('\r\n')}\r\n\r\n`;

/** Opens a connection, and ends it after the test. */
async function onWire(work: (wire: Wire) => Promise<void>): Promise<void> {
  const wire = await Wire.open(it.port);
  try {
    await work(wire);
  } finally {
    wire.cut();
  }
}

describe('Expect: 100-continue', () => {
  const expecting = (line: string, length: number, ...more: string[]): string =>
    head(line, 'Expect: 100-continue', `Content-Length: ${String(length)}`, ...more);

  test('is answered when the body is wanted, and the connection can be used again', async () => {
    const path = nextPath();
    await onWire(async (wire) => {
      for (const [line, body, status] of [
        [`PUT ${path}`, '{"v":1}', 201],
        [`PUT ${path}/file?rev=x`, 'bytes', 400],
      ] as const) {
        await wire.send(expecting(line, body.length));
        const first = await wire.answer();
        if (status !== 400) {
          expect(first).toMatchObject({ status: 100, body: '' });
          await wire.send(body);
          expect((await wire.answer()).status).toBe(status);
        } else {
          expect(first.status).toBe(status);
        }
      }
    });
  });

  test.each([
    ['a document that nobody may write', 'PUT /db/_nope', 10, 400, []],
    ['what is too large', 'PUT /db/large', 100_001, 413, []],
    ['an attachment that is too large', 'PUT /db/large/file', 200_001, 413, []],
    ['an attachment of a revision that is not there', 'PUT /db/doc/file?rev=1-x', 10, 409, []],
    ['a database that is not there', 'PUT /none/doc', 10, 404, []],
    ['a method that is not allowed', 'PATCH /db', 10, 405, []],
    ['a type that is not supported', 'POST /db/_bulk_docs', 10, 415, ['Content-Type: text/plain']],
    ['an encoding that is not supported', 'PUT /db/x', 10, 415, ['Content-Encoding: br']],
  ] as const)('is not answered for %s', async (_, line, length, status, headers) => {
    await onWire(async (wire) => {
      await wire.send(expecting(line, length, ...headers));
      expect((await wire.answer()).status).toBe(status);
    });
  });

  test('ends the connection where the body is refused: whether it follows nobody knows', async () => {
    const answers = await it.raw(expecting('PUT /none/doc', 10) + head('GET /_up'), 5000);
    expect(answers).toMatch(/^HTTP\/1\.1 404 /);
    expect(answers).toMatch(/\r\nConnection: close\r\n/i);
    expect(answers.match(/HTTP\/1\.1/g)).toHaveLength(1);
  });

  test('of clients that do not wait for it changes nothing', async () => {
    await onWire(async (wire) => {
      await wire.send(`${expecting(`PUT ${nextPath()}`, 2)}{}`);
      expect((await wire.answer()).status).toBe(100);
      expect((await wire.answer()).status).toBe(201);
    });
  });

  test('any other expectation means nothing', async () => {
    await onWire(async (wire) => {
      await wire.send(head('GET /_up', 'Expect: tea'));
      expect((await wire.answer()).status).toBe(200);
      await wire.send(`${head(`PUT ${nextPath()}`, 'Expect: tea', 'Content-Length: 2')}{}`);
      expect((await wire.answer()).status).toBe(201);
    });
  });
});

test('a Host is not needed', async () => {
  const lines = ['X-Test-User: admin', 'Content-Length: 2', 'Content-Type: application/json', '', '{}'];
  await onWire(async (wire) => {
    await wire.send(['PUT /nameless HTTP/1.1', ...lines].join('\r\n'));
    const made = await wire.answer();
    expect(made.status).toBe(201);
    expect(made.head).toContain(`\r\nLocation: http://127.0.0.1:${String(it.port)}/nameless\r\n`);
    for (const [line, status] of [
      ['PUT /nameless/doc', 201],
      ['POST /nameless/_revs_diff', 200],
      ['DELETE /nameless', 200],
    ] as const) {
      await wire.send([`${line} HTTP/1.1`, ...lines].join('\r\n'));
      expect((await wire.answer()).status).toBe(status);
    }
  });
});

describe('a gzip body', () => {
  const send = async (bytes: Buffer, headers: Record<string, string> = {}) =>
    it.request('PUT', nextPath(), {
      text: bytes,
      headers: { 'content-type': 'application/json', 'content-encoding': 'gzip', ...headers },
    });
  const zip = (text: string): Buffer => gzipSync(text);
  const chunked = { 'transfer-encoding': 'chunked' };

  test('may have any number of members', async () => {
    for (const headers of [{}, chunked]) {
      const members = ['{"a"', ':1', '', '}'].map(zip);
      expect((await send(Buffer.concat(members), headers)).status).toBe(201);
    }
  });

  test('is refused where it is damaged, cut off, or followed by something else', async () => {
    const whole = zip('{"a":1}');
    const bad = { status: 400, body: { error: 'bad_request' } };
    for (const bytes of [
      whole.subarray(0, -1),
      whole.subarray(0, 5),
      Buffer.concat([whole, Buffer.from('more')]),
      Buffer.concat([whole, whole.subarray(0, 12)]),
      Buffer.from('{"a":1}'),
    ]) {
      expect(await send(bytes)).toMatchObject(bad);
      expect(await send(bytes, chunked)).toMatchObject(bad);
    }
    expect((await send(Buffer.alloc(0))).status).toBe(400);
  });

  test('counts as it is sent and as it unpacks', async () => {
    const refused = { status: 413, body: { error: 'too_large' } };
    expect(await send(zip(`{"a":"${'x'.repeat(100_000)}"}`))).toMatchObject(refused);
    // A bomb in many members, each of them small, and members that hold nothing at all.
    const member = zip(' '.repeat(50_000));
    expect(await send(Buffer.concat([member, member, member]))).toMatchObject(refused);
    const empty = Buffer.concat(Array.from({ length: 6000 }, () => zip('')));
    expect(await send(empty, chunked)).toMatchObject(refused);
  });

  test('that is shorter than it says is refused, and leaves nothing behind', async () => {
    const bytes = zip('{"a":1}');
    const path = nextPath();
    const lines = ['Content-Encoding: gzip', `Content-Length: ${String(bytes.length + 1)}`];
    const sent = Buffer.concat([Buffer.from(head(`PUT ${path}`, ...lines)), bytes]);
    expect(await it.raw(sent, 25)).toMatch(/^HTTP\/1\.1 400 /);
    expect((await it.request('GET', path)).status).toBe(404);
    expect(it.errors).toEqual([]);
  });

  test('that is longer than it says ends where it says, and the rest is no request', async () => {
    const bytes = zip('{"a":1}');
    const lines = ['Content-Encoding: gzip', `Content-Length: ${String(bytes.length - 1)}`];
    const answers = await it.raw(
      Buffer.concat([Buffer.from(head(`PUT ${nextPath()}`, ...lines)), bytes]),
      1000,
    );
    expect(answers).toMatch(/^HTTP\/1\.1 4/);
  });
});

describe('a chunked body', () => {
  const chunks = (line: string, text: string, ...headers: string[]): string =>
    head(line, 'Transfer-Encoding: chunked', ...headers) + text;

  test('may have extensions and trailers', async () => {
    await onWire(async (wire) => {
      for (const text of [
        '2\r\n{}\r\n0\r\n\r\n',
        '1;a=b;c="d;e"\r\n{\r\n001;x\r\n}\r\n0;last\r\n\r\n',
        '2\r\n{}\r\n0\r\nX-Trailer: 1\r\nContent-MD5: x\r\n\r\n',
      ]) {
        await wire.send(chunks(`PUT ${nextPath()}`, text, 'Trailer: X-Trailer'));
        expect((await wire.answer()).status).toBe(201);
      }
    });
  });

  test('cannot have extensions without end', async () => {
    const answer = await it.raw(chunks(`PUT ${nextPath()}`, `2;${'x'.repeat(40_000)}\r\n{}\r\n`), 5000);
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
  });

  test.each(['x\r\n{}\r\n0\r\n\r\n', '2\r\n{}}\r\n0\r\n\r\n', '-2\r\n{}\r\n0\r\n\r\n', '2 \n{}'])(
    'that is none is refused: %j',
    async (text) => {
      expect(await it.raw(chunks(`PUT ${nextPath()}`, text), 1000)).toMatch(/^HTTP\/1\.1 400 /);
    },
  );

  test('with a Content-Length besides is refused: who reads it otherwise would see another request', async () => {
    const text = '2\r\n{}\r\n0\r\n\r\n';
    expect(await it.raw(chunks(`PUT ${nextPath()}`, text, 'Content-Length: 2'), 1000)).toMatch(
      /^HTTP\/1\.1 400 /,
    );
  });
});

describe('a body that nobody asked for', () => {
  test.each(['GET /_up', 'HEAD /_up', 'GET /db/_all_docs', 'GET /none', 'GET /a/b/c/d/e/f'])(
    'is passed over: %s',
    async (line) => {
      await onWire(async (wire) => {
        await wire.send(`${head(line, 'Content-Length: 5')}12345`);
        if (line.startsWith('HEAD')) await wire.send(head('GET /_up', 'X-Couch-Request-ID: next'));
        else expect((await wire.answer()).status).toBeLessThan(500);
        await wire.send(head('GET /_up', 'X-Couch-Request-ID: next'));
        for (;;) if ((await wire.answer()).head.includes(': next\r\n')) break;
      });
    },
  );
});

describe('connections', () => {
  test('are kept, or closed, as the client says', async () => {
    expect(await it.raw(head('GET /_up', 'Connection: close'))).toMatch(/\r\nConnection: close\r\n/i);
    const old = (...lines: string[]): Promise<string> =>
      it.raw(`GET /_up HTTP/1.0\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`, 200);
    expect(await old()).toMatch(/^HTTP\/1\.1 200 [^]*\r\nConnection: close\r\n[^]*\{"status":"ok"/i);
    expect(await old('Connection: keep-alive')).toMatch(/\r\nConnection: keep-alive\r\n/i);
  });

  test('of HTTP/1.0 get no chunks, which they do not know', async () => {
    const answer = await it.raw('GET /db/_all_docs HTTP/1.0\r\nX-Test-User: admin\r\n\r\n');
    expect(answer).not.toMatch(/transfer-encoding/i);
    const [, body = ''] = answer.split(/\r\n\r\n/, 2);
    expect(body).toMatch(/^\{"total_rows"/);
    expect(answer.endsWith(']}\n')).toBe(true);
  });

  test('on which too much is sent ahead are closed', async () => {
    const wire = await Wire.open(it.port);
    await wire.send(head('GET /db/_changes?feed=longpoll&since=now&heartbeat=60000'));
    for (let at = 0; at < 11 && !wire.closed; at++) await wire.send(head('GET /_up').repeat(100));
    await expect(wire.answer().then(() => wire.answer())).rejects.toThrow('the connection was closed');
    expect((await it.request('GET', '/_up')).status).toBe(200);
  });

  test('get no second answer into the midst of one', async () => {
    const wire = await Wire.open(it.port);
    await wire.send(head('GET /db/_changes?feed=continuous&since=now&heartbeat=60000'));
    expect((await wire.answer()).status).toBe(200);
    await wire.send('no request\r\n\r\n');
    await expect(wire.answer()).rejects.toThrow('the connection was closed');
    expect(wire.rest).not.toContain('HTTP/1.1');
  });
});

describe('X-HTTP-Method-Override', () => {
  const sent = (method: string, override: string, path: string, json?: object) =>
    it.request(method, path, { headers: { 'x-http-method-override': override }, json: json ?? {} });

  test('makes of a POST what it names', async () => {
    const path = nextPath();
    expect((await sent('POST', 'PUT', path, { v: 1 })).status).toBe(201);
    expect((await sent('POST', 'GET', path)).body).toMatchObject({ v: 1 });
    const { _rev: rev } = (await it.request('GET', path)).body as { _rev: string };
    expect((await sent('POST', 'DELETE', `${path}?rev=${rev}`)).status).toBe(200);
  });

  test('counts for no other method, and names no method that there is not', async () => {
    expect((await sent('PUT', 'DELETE', nextPath(), {})).status).toBe(201);
    expect((await sent('POST', 'PATCH', '/db', {})).status).toBe(201);
    expect((await sent('POST', 'delete', '/db', {})).status).toBe(201);
  });
});

test('If-None-Match compares weakly, and takes several tags', async () => {
  const paths = ['/db/doc', '/db/_changes', '/db/doc/file'];
  const { _rev: rev } = (await it.request('GET', '/db/doc')).body as { _rev: string };
  await it.request('PUT', `/db/doc/file?rev=${rev}`, {
    text: 'text',
    headers: { 'content-type': 'image/x' },
  });
  for (const path of paths) {
    const { headers } = await it.request('GET', path);
    const tag = headers.etag ?? '';
    expect(tag).toMatch(/^".+"$/);
    const status = async (value: string): Promise<number> =>
      (await it.request('GET', path, { headers: { 'if-none-match': value } })).status;
    expect(await Promise.all([tag, `W/${tag}`, `"x", W/${tag}`, `"x",${tag}`].map(status))).toEqual([
      304, 304, 304, 304,
    ]);
    expect(await Promise.all(['"x"', 'W/"x"', tag.slice(1, -1), '*', `w/${tag}`].map(status))).toEqual([
      200, 200, 200, 200, 200,
    ]);
  }
});
