import { createHash, randomBytes } from 'node:crypto';
import http from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../system/support/wait.js';
import { linkOf, type Pair, startPair } from './pair.js';

let it: Pair;
beforeAll(async () => {
  it = await startPair(false);
  await it.back.put('mia', { password: 'pear', roles: ['crew'] });
  await it.front.put('mia', { password: 'pear', roles: ['crew'] });
  await it.front.put('sam', { password: 'plum' });
  for (const name of ['crew', 'open', 'closed']) await it.back.ask('PUT', `/${name}`);
  await it.back.ask('PUT', '/crew/_security', { json: { members: { roles: ['crew'] } } });
  await it.back.ask('PUT', '/open/_security', { json: {} });
});
afterAll(() => it.stop());

const cookieOf = async (name: string, password: string): Promise<string> => {
  const { headers } = await it.front.ask('POST', '/_session', { as: null, json: { name, password } });
  return headers['set-cookie']?.[0]?.split(';')[0] ?? '';
};

describe('a request for a database at the upstream', () => {
  test('is answered there, and what it writes is there', async () => {
    const made = await it.front.ask('PUT', '/crew/a', { as: 'mia:pear', json: { text: 'hi' } });
    expect(made.status).toBe(201);
    expect(made.headers.location).toBe(`http://127.0.0.1:${it.front.port}/crew/a`);
    expect((await it.back.ask('GET', '/crew/a')).body).toMatchObject({ text: 'hi' });
    const read = await it.front.ask('GET', '/crew/a', { as: 'mia:pear' });
    expect(read.headers.etag).toMatch(/^"1-/);
    const etag = { 'if-none-match': read.headers.etag ?? '' };
    expect((await it.front.ask('GET', '/crew/a', { as: 'mia:pear', headers: etag })).status).toBe(304);
    expect((await it.front.ask('HEAD', '/crew/a', { as: 'mia:pear' })).headers['content-length']).toBe(
      read.headers['content-length'],
    );
  });

  test('needs the rights that the security object there gives, also where that is changed', async () => {
    const asked = async (db: string): Promise<number[]> => {
      const answers = [];
      for (const as of [null, 'sam:plum', 'mia:pear', 'admin:secret'])
        answers.push((await it.front.ask('GET', `/${db}`, { as })).status);
      return answers;
    };
    expect(await asked('crew')).toEqual([401, 403, 200, 200]);
    expect(await asked('closed')).toEqual([401, 403, 403, 200]);
    expect((await it.front.ask('GET', '/open', { as: null })).status).toBe(200);
    expect(await asked('missing')).toEqual([404, 404, 404, 404]);
    await it.front.ask('PUT', '/closed/_security', { json: { members: { names: ['mia'] } } });
    expect((await it.front.ask('GET', '/closed', { as: 'mia:pear' })).status).toBe(200);
  });

  test('of somebody whom the upstream cannot be told about is refused with what to set', async () => {
    const cookie = await cookieOf('mia', 'pear');
    const { status, body } = await it.front.ask('GET', '/crew', { as: null, headers: { cookie } });
    expect([status, body]).toMatchObject([403, { error: 'forbidden', reason: /upstream\.proxySecretFile/ }]);
  });

  test('makes and deletes databases there as its client, for server admins', async () => {
    expect((await it.front.ask('PUT', '/made', { as: 'mia:pear' })).status).toBe(401);
    expect((await it.front.ask('PUT', '/made')).status).toBe(201);
    expect((await it.back.ask('GET', '/made')).status).toBe(200);
    expect((await it.front.ask('PUT', '/made')).status).toBe(412);
    expect((await it.front.ask('GET', '/_all_dbs')).body).toEqual(
      expect.arrayContaining(['_users', 'crew', 'made', 'open']),
    );
    expect((await it.front.ask('DELETE', '/made')).status).toBe(200);
    expect((await it.front.ask('GET', '/_all_dbs')).body).not.toContain('made');
    expect((await it.back.ask('GET', '/made')).status).toBe(404);
  });

  test('says of all databases what is said there', async () => {
    await it.front.ask('PUT', '/local-notes');
    const { body } = await it.front.ask('POST', '/_dbs_info', {
      json: { keys: ['local-notes', 'crew', 'missing'] },
    });
    expect(body).toMatchObject([
      { key: 'local-notes', info: { db_name: 'local-notes' } },
      { key: 'crew', info: { db_name: 'crew' } },
      { key: 'missing', error: 'not_found' },
    ]);
    expect((await it.back.ask('GET', '/local-notes')).status).toBe(404);
  });

  test('may not lead to another database by its path', async () => {
    for (const path of ['/open/%2e%2e/closed', '/open/..%2fclosed', '/open/x%2f..%2f..%2fclosed/a'])
      expect((await it.front.ask('GET', path)).body).toMatchObject({ error: 'bad_request' });
  });

  test('may say another method than it has', async () => {
    await it.front.ask('PUT', '/open/over', { json: {} });
    const headers = { 'x-http-method-override': 'DELETE' };
    const { status } = await it.front.ask('POST', '/open/over?rev=1-x', { headers });
    expect([400, 409]).toContain(status);
    const read = await it.front.ask('POST', '/open/over', { headers: { 'x-http-method-override': 'HEAD' } });
    expect(read.status).toBe(200);
  });

  test('is refused where a replication names it', async () => {
    const json = { source: 'crew', target: 'local-copy', create_target: true };
    expect(await it.front.ask('POST', '/_replicate', { json })).toMatchObject({
      status: 403,
      body: { reason: /at the upstream/ },
    });
  });
});

describe('bodies', () => {
  test('of 64 MiB pass in both directions, and parts of them', async () => {
    const chunk = randomBytes(1 << 20);
    const hash = createHash('md5');
    for (let at = 0; at < 64; at++) hash.update(chunk);
    const digest = hash.digest('base64');
    const put = await request('PUT', '/open/big/data', {
      body: { chunk, count: 64 },
      headers: { 'content-type': 'application/octet-stream', 'content-length': String(64 << 20) },
    });
    expect(put.status).toBe(201);
    const got = await request('GET', '/open/big/data');
    expect([got.status, got.md5]).toEqual([200, digest]);
    const part = await request('GET', '/open/big/data', { headers: { range: 'bytes=1048576-2097151' } });
    expect([part.status, part.headers['content-range']]).toEqual([206, 'bytes 1048576-2097151/67108864']);
    expect(part.md5).toBe(createHash('md5').update(chunk).digest('base64'));
  });

  test('that are refused before they are sent leave the connection as it should be', async () => {
    const put = await request('PUT', '/crew/big/data', {
      as: 'sam:plum',
      body: { chunk: Buffer.alloc(1 << 16), count: 16 },
      headers: { 'content-type': 'application/octet-stream', 'content-length': String(1 << 20) },
    });
    expect(put.status).toBe(403);
  });

  test('come packed to those who ask for it', async () => {
    await it.back.ask('PUT', '/open/long', { json: { text: 'long '.repeat(5000) } });
    const { headers, bytes } = await request('GET', '/open/long', { headers: { 'accept-encoding': 'gzip' } });
    expect(headers['content-encoding']).toBe('gzip');
    expect(bytes).toBeLessThan(5000);
  });
});

describe('feeds', () => {
  test.each(['continuous', 'longpoll', 'eventsource'])('of the kind %s are live', async (feed) => {
    const { response, end } = await open(`/open/_changes?feed=${feed}&since=now&heartbeat=10000`);
    const told = new Promise<string>((resolve) => {
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part;
        if (text.includes(`live-${feed}`)) resolve(text);
      });
    });
    await it.back.ask('PUT', `/open/live-${feed}`, { json: {} });
    expect(await told).toContain(`live-${feed}`);
    end();
  });

  test('end at the upstream when their client leaves', async () => {
    const { end } = await open('/open/_changes?feed=continuous&since=now&heartbeat=10000');
    await until('the feed', async () => (await linkOf(it.front)).counters.feeds === 1);
    end();
    await until('its end', async () => (await linkOf(it.front)).counters.feeds === 0);
  });
});

interface Sending {
  readonly as?: string;
  readonly headers?: http.OutgoingHttpHeaders;
  readonly body?: { readonly chunk: Buffer; readonly count: number };
}

const basic = (as: string): string => `Basic ${Buffer.from(as).toString('base64')}`;

/** Sends a long body as fast as it is taken, and reads one without keeping it. */
async function request(method: string, path: string, { as = 'admin:secret', headers, body }: Sending = {}) {
  const sent = http.request({
    host: '127.0.0.1',
    port: it.front.port,
    method,
    path,
    headers: { authorization: basic(as), ...headers },
    agent: false,
  });
  const answered = new Promise<http.IncomingMessage>((resolve, reject) => {
    sent.on('response', resolve).on('error', reject);
  });
  for (let at = 0; at < (body?.count ?? 0) && !sent.destroyed; at++)
    if (!sent.write(body?.chunk))
      await Promise.race([new Promise((resolve) => sent.once('drain', resolve)), answered]);
  sent.end();
  const response = await answered;
  const hash = createHash('md5');
  let bytes = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    hash.update(part);
    bytes += part.length;
  }
  return { status: response.statusCode, headers: response.headers, md5: hash.digest('base64'), bytes };
}

/** Opens a feed. */
async function open(path: string): Promise<{ response: http.IncomingMessage; end: () => void }> {
  const headers = { authorization: basic('admin:secret') };
  const sent = http.get({ host: '127.0.0.1', port: it.front.port, path, headers, agent: false });
  const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
    sent.on('response', resolve).on('error', reject);
  });
  return { response, end: () => sent.destroy() };
}
