import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { Jobs, JobSpec, ScheduledJob } from '../../src/replicator/jobs.js';
import type { Peers } from '../../src/replicator/peers.js';
import { Watcher } from '../../src/replicator/watcher.js';
import { loadConfig } from '../../src/config/load.js';
import { startApp, type TestApp } from '../http/app.js';
import { until } from '../system/support/wait.js';

let it: TestApp;
beforeAll(async () => {
  it = await startApp({}, { replicator: QUIET });
});
afterAll(() => it.stop());

/** Of the gateway: the test has a watcher of its own. */
const QUIET = {
  start: () => undefined,
  close: () => Promise.resolve(),
  view: (db: unknown) => db,
} as never;

/** What the scheduler has. */
let jobs: Map<string, JobSpec>;
let removed: string[];
/** Lets all removals end. */
let letGo: () => void;
let filterCode: string;
let watcher: Watcher;

beforeEach(() => {
  jobs = new Map();
  removed = [];
  const released = new Promise<void>((resolve) => (letGo = resolve));
  filterCode = 'first';
  watcher = new Watcher({
    databases: it.databases,
    config: loadConfig({ values: {} }).config,
    log: it.log,
    filterCheck: 5,
    peers: {
      identify: ({ target }: JobSpec['request']) => {
        const base = target.url + filterCode;
        return Promise.resolve({ base, full: base });
      },
    } as unknown as Peers,
    jobs: {
      get: (id: string) => (jobs.has(id) ? ({ spec: jobs.get(id) } as ScheduledJob) : undefined),
      add: (spec: JobSpec) => jobs.set(spec.id.full, spec),
      remove: (id: string) => {
        jobs.delete(id);
        removed.push(id);
        return released;
      },
    } as unknown as Jobs,
  });
});

const put = (database: string, id: string, more = {}) =>
  it.request('PUT', `/${encodeURIComponent(database)}/${id}`, {
    json: { source: 'http://a.example/x', target: `http://b.example/${id}`, continuous: true, ...more },
  });
const remove = async (database: string, id: string): Promise<void> => {
  const path = `/${encodeURIComponent(database)}/${id}`;
  const { body } = await it.request('GET', path);
  await it.request('DELETE', `${path}?rev=${(body as { _rev: string })._rev}`);
};
const running = () => [...jobs.keys()].map((id) => id.split('/').at(-2));

test('documents that are deleted hold up no others while their targets do not answer', async () => {
  await it.request('PUT', '/one%2F_replicator');
  watcher.start();
  await put('one/_replicator', 'hangs');
  await until('it runs', () => running().includes('hangs'));
  await remove('one/_replicator', 'hangs');
  await put('one/_replicator', 'other');
  await until('the other one runs', () => running().includes('other'));
  expect(removed).toHaveLength(1);
  letGo();
  await watcher.close();
});

test('a changed filter function makes another replication of a document that runs', async () => {
  await it.request('PUT', '/two%2F_replicator');
  watcher.start();
  await put('two/_replicator', 'filtered', { filter: 'd/f' });
  await until('it runs', () => running().includes('filtered'));
  const ids = () => [...jobs.keys()].filter((one) => one.includes('filtered'));
  const [former = ''] = ids();
  filterCode = 'second';
  await until('another one runs', () => ids().length === 1 && !jobs.has(former));
  expect(removed).toEqual([former]);
  letGo();
  await watcher.close();
});
