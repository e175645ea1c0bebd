import { afterAll, beforeAll, expect, test } from 'vitest';
import { startUsers, type Users } from '../auth/users/gateway.js';
import { PouchDB } from './support/pouch.js';
import { until } from './support/wait.js';

type Fetch = (url: string, options: Record<string, unknown>) => Promise<Response>;

/** Seconds; short, and long enough for a busy machine to ask again in time. */
const TIMEOUT = 4;

let it: Users;
beforeAll(async () => {
  it = await startUsers({ session: { timeout: TIMEOUT } });
  await it.put('ann', { password: 'apple' });
  await it.ask('PUT', '/notes');
  await it.ask('PUT', '/notes/_security', { json: { members: { names: ['ann'], roles: [] } } });
});
afterAll(() => it.stop());

/** Sends requests with a session, as a browser does, and keeps it where an answer prolongs it. */
class Browser {
  cookie = '';
  renewals = 0;
  readonly refusals: number[] = [];

  async logIn(): Promise<void> {
    const json = { name: 'ann', password: 'apple' };
    this.keep((await it.ask('POST', '/_session', { as: null, json })).headers['set-cookie']?.[0]);
  }

  keep(header: string | null | undefined): void {
    if (typeof header === 'string') this.cookie = header.split(';')[0] ?? '';
  }

  readonly fetch: Fetch = async (url, options) => {
    (options.headers as Headers).set('cookie', this.cookie);
    const response = await fetch(url, options);
    const renewed = response.headers.get('set-cookie');
    if (renewed !== null) this.renewals++;
    this.keep(renewed);
    if (response.status === 401) this.refusals.push(response.status);
    return response;
  };
}

const nameBy = async (cookie: string): Promise<unknown> => {
  const { body } = await it.ask('GET', '/_session', { as: null, headers: { cookie } });
  return (body as { userCtx: { name: unknown } }).userCtx.name;
};

test('a live sync with a session outlives it, though nothing happens meanwhile', async () => {
  const browser = new Browser();
  await browser.logIn();
  const first = browser.cookie;
  const local = new PouchDB('sessions', { adapter: 'memory' });
  const remote = new PouchDB(`${it.gateway.url}/notes`, { fetch: browser.fetch, skip_setup: true });
  const failures: unknown[] = [];
  const sync = local.sync(remote, { live: true, retry: false });
  void sync.on('error', (error: unknown) => failures.push(error));
  void sync.on('denied', (error: unknown) => failures.push(error));
  try {
    await until('the session of the start is over', async () => (await nameBy(first)) === null);
    await until('it was prolonged twice', () => browser.renewals >= 2);
    await it.ask('PUT', '/notes/from-afar', { json: {} });
    await local.put({ _id: 'from-here' });
    await until('both have both', async () => {
      const { status } = await it.ask('GET', '/notes/from-here');
      return status === 200 && (await local.get('from-afar').catch(() => false));
    });
    expect({ failures, refusals: browser.refusals }).toEqual({ failures: [], refusals: [] });
  } finally {
    sync.cancel();
    await local.destroy();
  }
});
