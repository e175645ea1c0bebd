import http from 'node:http';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { startApp, type TestApp } from './app.js';

const CEILING = { timeout: 30_000 };

let it: TestApp;
beforeEach(async () => {
  it = await startApp();
  await it.request('PUT', '/_global_changes');
});
afterEach(() => it.stop());

interface Event {
  readonly seq: string;
  readonly db_name: string;
  readonly type: string;
}

interface Updates {
  readonly results: readonly Event[];
  readonly last_seq: string;
}

const updates = async (query = ''): Promise<Updates> =>
  (await it.request('GET', `/_db_updates?${query}`)).body as Updates;

const short = ({ results }: Updates): string[] => results.map(({ type, db_name }) => `${type} ${db_name}`);

/** A feed that is read in the background. */
class Listener {
  text = '';
  over = false;
  type: string | undefined;
  readonly #request;

  constructor(query: string, headers: http.OutgoingHttpHeaders = {}) {
    this.#request = http.get(
      { port: it.port, path: `/_db_updates?${query}`, headers: { 'x-test-user': 'admin', ...headers } },
      (response) => {
        this.type = response.headers['content-type'];
        response.setEncoding('utf8');
        response.on('data', (text: string) => (this.text += text));
        response.on('end', () => (this.over = true));
        response.on('error', () => undefined);
      },
    );
    this.#request.on('error', () => undefined);
  }

  has = (pattern: RegExp): Promise<void> => vi.waitFor(() => expect(this.text).toMatch(pattern), CEILING);

  ends = (): Promise<void> => vi.waitFor(() => expect(this.over).toBe(true), CEILING);

  vanish(): void {
    this.#request.destroy();
  }
}

describe('GET /_db_updates', () => {
  test('has each database once for each kind of event, and goes on from its tokens', async () => {
    await it.request('PUT', '/a');
    await it.request('PUT', '/b%2Fc');
    await it.request('DELETE', '/a');
    const all = await updates();
    expect(short(all)).toEqual(['created a', 'created b/c', 'deleted a']);
    expect(all.results[0]).toEqual({
      seq: expect.stringMatching(/^1-[0-9a-f]{12}$/) as string,
      db_name: 'a',
      type: 'created',
    });
    expect(all).toEqual({ results: all.results, last_seq: all.results[2]?.seq });
    expect(short(await updates(`since=${all.results[0]?.seq ?? ''}`))).toEqual(['created b/c', 'deleted a']);
    expect(await updates('since=now')).toEqual({ results: [], last_seq: all.last_seq });
    expect(await updates('limit=1')).toEqual({ results: [all.results[0]], last_seq: all.results[0]?.seq });
    expect(await updates('limit=0')).toMatchObject({ results: [] });
    expect(short(await updates('descending=true&limit=2'))).toEqual(['deleted a', 'created b/c']);
    // A token of another server, or of one that was put back: better all of it again than some of it never.
    expect(short(await updates('since=3-0123456789ab'))).toHaveLength(3);
  });

  test('passes over what is no event', async () => {
    await it.request('PUT', '/a');
    for (const id of ['x', 'renamed:a', '_design/created:a', 'updated', 'updated:gone'])
      await it.request('PUT', `/_global_changes/${id}`, { json: {} });
    const { body } = await it.request('GET', '/_global_changes/updated:gone');
    await it.request('DELETE', `/_global_changes/updated:gone?rev=${(body as { _rev: string })._rev}`);
    const { results, last_seq } = await updates();
    expect(results.map(({ type, db_name }) => `${type} ${db_name}`)).toEqual(['created a']);
    expect(Number.parseInt(last_seq, 10)).toBe(7);
    expect(short(await updates('limit=5'))).toEqual(['created a']);
  });

  test('is not sent again to those who have it', async () => {
    const { headers } = await it.request('GET', '/_db_updates');
    const again = { headers: { 'if-none-match': headers.etag } };
    expect((await it.request('GET', '/_db_updates', again)).status).toBe(304);
    await it.request('PUT', '/a');
    expect((await it.request('GET', '/_db_updates', again)).status).toBe(200);
  });

  test.each([
    'feed=live',
    'feed=',
    'limit=-1',
    'limit=x',
    'timeout=x',
    'heartbeat=x',
    'heartbeat=-1',
    'since=x',
    'since=7',
  ])('is refused with %s', async (query) => {
    const { status, body } = await it.request('GET', `/_db_updates?${query}`);
    expect({ status, body }).toMatchObject({ status: 400, body: { error: 'bad_request' } });
  });

  test('is there as long as the database of the events is', async () => {
    const missing = {
      status: 404,
      body: { error: 'not_found', reason: 'Database does not exist.' },
    };
    const listener = new Listener('feed=continuous&heartbeat=60000');
    await it.request('PUT', '/a');
    await listener.has(/"created"/);
    expect((await it.request('DELETE', '/_global_changes')).status).toBe(200);
    await listener.ends();
    expect(await it.request('GET', '/_db_updates')).toMatchObject(missing);
    expect((await it.request('PUT', '/_global_changes')).status).toBe(201);
    expect((await it.request('PUT', '/_global_changes')).status).toBe(412);
    expect(short(await updates())).toEqual([]);
  });

  test('is for server admins, and so is the database behind it', async () => {
    for (const path of ['/_db_updates', '/_global_changes', '/_global_changes/_changes']) {
      expect((await it.request('GET', path, { as: null })).status).toBe(401);
      expect((await it.request('GET', path, { as: 'member' })).status).toBe(
        path === '/_db_updates' ? 401 : 403,
      );
    }
  });
});

describe('a feed of _db_updates', () => {
  test('that polls answers what there is at once, and otherwise with the next event', async () => {
    await it.request('PUT', '/a');
    expect(short(await updates('feed=longpoll'))).toEqual(['created a']);
    const listener = new Listener('feed=longpoll&since=now');
    await vi.waitFor(() => expect(listener.text).toBe('{"results":[\n'), CEILING);
    await it.request('PUT', '/a/doc', { json: {} });
    await listener.ends();
    expect(short(JSON.parse(listener.text) as Updates)).toEqual(['updated a']);
  });

  test('that is continuous goes on, beats, and ends at its limit', async () => {
    const listener = new Listener('feed=continuous&heartbeat=50&limit=2');
    await listener.has(/^\n\n/);
    await it.request('PUT', '/a');
    await listener.has(/"created"/);
    expect(listener.over).toBe(false);
    await it.request('DELETE', '/a');
    await listener.ends();
    const lines = listener.text.split('\n').filter((line) => line !== '');
    const [first, second, last] = lines.map((line) => JSON.parse(line) as Partial<Event & Updates>);
    expect([first?.type, second?.type, last]).toEqual(['created', 'deleted', { last_seq: second?.seq }]);
    expect(lines).toHaveLength(3);
  });

  test('that is continuous ends after a silence', async () => {
    const listener = new Listener('feed=continuous&timeout=50&heartbeat=false');
    await listener.ends();
    expect(JSON.parse(listener.text)).toEqual({ last_seq: expect.stringMatching(/^0-/) as string });
  });

  test('of server-sent events goes on from the last id', async () => {
    await it.request('PUT', '/a');
    await it.request('PUT', '/b');
    const listener = new Listener('feed=eventsource&heartbeat=60000');
    await listener.has(/"b"[^\n]*\nid: 2-[0-9a-f]{12}\n\n$/);
    expect(listener.type).toBe('text/event-stream');
    const [, id = ''] = /^id: (1-.*)$/m.exec(listener.text) ?? [];
    listener.vanish();
    const later = new Listener('feed=eventsource&timeout=50', { 'last-event-id': id });
    await later.ends();
    expect(later.text).toMatch(/^data: \{"seq":"2-[^\n]*"db_name":"b","type":"created"\}\nid: 2-[^\n]*\n\n$/);
  });

  test('leaves nothing behind when its client goes', async () => {
    const listeners = Array.from(
      { length: 20 },
      () => new Listener('feed=continuous&since=now&heartbeat=60000'),
    );
    const listening = (): Promise<number> => it.databases.use('_global_changes', (db) => db.events.size);
    await vi.waitFor(async () => expect(await listening()).toBe(20), CEILING);
    for (const listener of listeners) listener.vanish();
    await vi.waitFor(async () => expect(await listening()).toBe(0), CEILING);
  });
});
