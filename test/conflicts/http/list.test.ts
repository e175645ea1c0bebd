import http from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ConflictChanges } from '../../../src/conflicts/changes.js';
import { MergeRule } from '../../../src/conflicts/rules.js';
import type { WhichRule } from '../../../src/conflicts/standing.js';
import { stateText } from '../../../src/conflicts/states.js';
import { startApp, type TestApp } from '../../http/app.js';
import { until } from '../../system/support/wait.js';
import { clash, type Listed, nodeOf } from './support.js';

const path = (db: string, more = ''): string => `/_gateway/databases/${db}/conflicts${more}`;

let app: TestApp;
beforeAll(async () => {
  app = await startApp({
    databases: [
      { match: 'merged', mode: 'local', merge: 'three-way' },
      { match: '*', mode: 'local' },
    ],
  });
});
afterAll(() => app.stop());

const list = async (db: string, query = ''): Promise<Listed> => {
  const { status, body } = await app.request('GET', path(db, query));
  expect(status).toBe(200);
  return body as Listed;
};

const idsOf = ({ conflicts }: Listed): string[] => conflicts.map(({ id }) => id);

describe('the list of conflicts', () => {
  beforeAll(async () => {
    await app.request('PUT', '/kept');
    await app.request('PUT', '/kept/alone', { json: {} });
    for (const id of ['a', 'b', 'c', 'd', 'e']) await clash(app, 'kept', id);
  });

  test('has the documents with several living leaves, in the order of their last changes', async () => {
    await clash(app, 'kept', 'a', { c: { n: 3 } });
    const { conflicts, ...rest } = await list('kept');
    expect(rest).toEqual({ total: 5, next: null, last_seq: await seqOf('kept') });
    expect(conflicts.map(({ id, leaves }) => [id, leaves])).toEqual([
      ['b', 2],
      ['c', 2],
      ['d', 2],
      ['e', 2],
      ['a', 3],
    ]);
    expect(conflicts[0]).toEqual({
      seq: expect.stringMatching(/^[0-9]+-/) as string,
      id: 'b',
      leaves: 2,
      winner: nodeOf('b'),
      state: 'kept',
      reason: null,
      paths: [],
      since: null,
    });
  });

  test('comes in pages, each of which says where the next one begins', async () => {
    const seen: string[] = [];
    let query = '?limit=2';
    for (let pages = 1; pages <= 3; pages++) {
      const page = await list('kept', query);
      seen.push(...idsOf(page));
      expect(page.total).toBe(5);
      expect(page.next === null).toBe(pages === 3);
      query = `?limit=2&start=${String(page.next)}`;
    }
    expect(new Set(seen).size).toBe(5);
  });

  test('refuses what is no place in it, or no number', async () => {
    const bad = ['?since=x', '?limit=-1', '?limit=x', '?feed=never', '?feed=longpoll&timeout=x', '?state=x'];
    for (const query of bad) expect((await app.request('GET', path('kept', query))).status, query).toBe(400);
    expect((await app.request('GET', path('nowhere'))).status).toBe(404);
    expect((await app.request('POST', path('kept'), { json: {} })).status).toBe(405);
  });
});

describe('what became of a conflict', () => {
  test('is shown, as far as the rule that holds now made it', async () => {
    await app.request('PUT', '/merged');
    for (const id of ['a', 'b', 'c']) await clash(app, 'merged', id);
    const rule = MergeRule.of('three-way')?.version ?? '';
    const since = Date.UTC(2026, 0, 1);
    await app.databases.use('merged', async (db) => {
      const note = async (id: string, more: { rule: string }): Promise<boolean> => {
        const state = { state: 'deferred', reason: 'both', paths: ['/n'], since, ...more } as const;
        return db.conflicts.note({ id, seq: db.get(id)?.seq ?? 0 }, stateText(state));
      };
      expect(await note('a', { rule })).toBe(true);
      expect(await note('b', { rule: 'former' })).toBe(true);
    });
    const { conflicts } = await list('merged');
    expect(conflicts.map(({ state }) => state)).toEqual(['deferred', 'open', 'open']);
    expect(conflicts[0]).toMatchObject({ reason: 'both', paths: ['/n'], since: '2026-01-01T00:00:00.000Z' });
    expect(idsOf(await list('merged', '?state=deferred'))).toEqual(['a']);
    const counts = await app.request('GET', '/_gateway/databases/merged');
    expect(counts.body).toMatchObject({
      conflicts: { total: 3, states: { deferred: 1, open: 2 } },
      journal: { entries: 0, bytes: 0 },
    });
    const { body: status } = await app.request('GET', '/_gateway/status');
    expect((status as { conflicts: { databases: object[] } }).conflicts.databases).toContainEqual({
      name: 'merged',
      conflicts: 3,
      deferred: 1,
      journal_bytes: 0,
    });
    const page = await list('merged', '?state=open&limit=1');
    expect(idsOf(page)).toEqual(['b']);
    expect(idsOf(await list('merged', `?state=open&since=${String(page.next)}`))).toEqual(['c']);
  });
});

describe('a feed of conflicts', () => {
  beforeAll(async () => {
    await app.request('PUT', '/fed');
    await app.request('PUT', '/fed/alone', { json: {} });
  });

  test('waits for the next one, and tells those that are resolved', async () => {
    const { last_seq: since } = await list('fed');
    const waiting = app.request('GET', path('fed', `?feed=longpoll&since=${since}`));
    await app.request('PUT', '/fed/other', { json: {} });
    await clash(app, 'fed', 'a');
    const { results, last_seq: last } = (await waiting).body as { results: object[]; last_seq: string };
    expect(results).toMatchObject([{ id: 'a', leaves: 2, state: 'kept' }]);
    const winner = nodeOf('b');
    await app.request('DELETE', `/fed/a?rev=${winner}`);
    const next = await app.request('GET', path('fed', `?feed=longpoll&since=${last}`));
    expect(next.body).toMatchObject({ results: [{ id: 'a', leaves: 1, state: 'resolved' }] });
  });

  test('of one that begins anew has nothing that is resolved', async () => {
    await clash(app, 'fed', 'b');
    const { body } = await app.request('GET', path('fed', '?feed=longpoll'));
    expect((body as { results: { id: string }[] }).results.map(({ id }) => id)).toEqual(['b']);
  });

  test('tells that a purge made an end of one', async () => {
    await app.request('PUT', '/purged');
    for (const id of ['p', 'q']) await clash(app, 'purged', id);
    const { last_seq: since } = await list('purged');
    const purge = await app.request('POST', '/purged/_purge', { json: { p: [nodeOf('b')] } });
    expect(purge.status).toBe(201);
    const { body } = await app.request('GET', path('purged', `?feed=longpoll&since=${since}`));
    expect(body).toMatchObject({ results: [{ id: 'p', leaves: 1, state: 'resolved' }] });
  });

  test('goes by the rule that holds when it tells of one', async () => {
    await app.request('PUT', '/ruled');
    await app.databases.use('ruled', async (db) => {
      const told = async (changes: ConflictChanges, since: number): Promise<unknown[]> => {
        const rows: unknown[] = [];
        for await (const page of changes.changes({ since }))
          for (const { text } of page) rows.push(JSON.parse(text) as unknown);
        return rows;
      };
      const rules: WhichRule[] = [];
      const changes = new ConflictChanges(db, () => rules[0]);
      await clash(app, 'ruled', 'a');
      expect(await told(changes, 1)).toMatchObject([{ id: 'a', state: 'kept' }]);
      rules.push({ version: 'another' });
      expect(await told(changes, 1)).toMatchObject([{ id: 'a', state: 'open' }]);
      expect(await told(changes, 0)).toMatchObject([{ id: 'a', state: 'open' }]);
    });
  });

  test('cannot be of those in one state: what becomes of them is not told again', async () => {
    for (const feed of ['longpoll', 'continuous', 'eventsource']) {
      const { status, body } = await app.request('GET', path('fed', `?feed=${feed}&state=deferred`));
      expect(status).toBe(400);
      expect(body).toMatchObject({ reason: expect.stringContaining('in all states') as string });
    }
  });

  test('ends after its time, shows that it is alive, and is freed when its client leaves', async () => {
    const timed = await app.request('GET', path('fed', '?feed=longpoll&since=now&timeout=1'));
    expect(timed.body).toMatchObject({ results: [] });
    const lines: string[] = [];
    const request = http.get({
      port: app.port,
      path: path('fed', '?feed=eventsource&heartbeat=20&since=0'),
      headers: { 'x-test-user': 'admin' },
    });
    await new Promise<void>((resolve, reject) => {
      request.on('error', reject);
      request.on('response', (response) => {
        expect(response.headers['content-type']).toBe('text/event-stream');
        response.setEncoding('utf8').on('data', (text: string) => {
          lines.push(...text.split('\n'));
          if (lines.includes('event: heartbeat')) resolve();
        });
      });
    });
    const told = lines.find((line) => line.startsWith('data: {')) ?? '';
    const { id, seq } = JSON.parse(told.slice('data: '.length)) as { id: string; seq: string };
    expect(id).toBe('b');
    expect(lines).toContain(`id: ${seq}`);
    await app.databases.use('fed', async (db) => {
      expect(db.events.size).toBe(1);
      request.destroy();
      await until('the feed is freed', () => db.events.size === 0);
    });
  });
});

async function seqOf(db: string): Promise<string> {
  const { body } = await app.request('GET', `/${db}`);
  return (body as { update_seq: string }).update_seq;
}
