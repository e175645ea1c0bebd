import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { newAgent } from '../../../src/replication/http/agent.js';
import { HttpClient } from '../../../src/replication/http/client.js';
import { Waking, type WakingHost, type WakingStatus } from '../../../src/upstream/mirrors/waking/waking.js';
import { startUsers, type Users } from '../../auth/users/gateway.js';
import { until } from '../../system/support/wait.js';

const agent = newAgent();
const MIRRORS = ['waking-a', 'waking-b', 'waking-c', 'waking-d'];
let back: Users;

beforeAll(async () => {
  back = await startUsers();
  await back.put('gate', { password: 'way' });
  for (const name of MIRRORS) await make(name);
});
beforeEach(async () => {
  await back.ask('PUT', '/_global_changes');
});
afterAll(async () => {
  await agent.close();
  await back.stop();
});

async function make(name: string): Promise<void> {
  await back.ask('PUT', `/${name}`);
  await back.ask('PUT', `/${name}/_security`, { json: { members: { names: ['gate'], roles: [] } } });
}

let documents = 0;
const write = (name: string): Promise<unknown> =>
  back.ask('PUT', `/${name}/d${documents++}`, { json: { text: 'something' } });

/** Mirrors that only note what they are told. */
class Mirrors implements WakingHost {
  readonly woken = new Set<string>();
  readonly gone = new Set<string>();
  readonly there = new Set<string>();
  readonly waking: Waking;
  wantsNames = false;

  constructor(account: string, interval: number) {
    const client = new HttpClient({
      url: `${back.gateway.url}/`,
      headers: { authorization: `Basic ${Buffer.from(account).toString('base64')}` },
      dispatcher: agent,
    });
    this.waking = new Waking({
      host: this,
      ask: (request) => client.json(request),
      send: (request) => client.send(request),
      interval: () => interval,
      log: { info: () => undefined },
    });
    onTestFinished(() => this.waking.stop());
  }

  /** Resolves when they know everything that happened before. */
  static async started(account = 'admin:secret', interval = 600_000): Promise<Mirrors> {
    const mirrors = new Mirrors(account, interval);
    await mirrors.start();
    await mirrors.wakes(MIRRORS);
    return mirrors;
  }

  async start(): Promise<void> {
    this.woken.clear();
    this.waking.start();
    await until(
      'it to be known how changes are noticed',
      () => this.status.by === '_db_updates' || this.status.reason !== null,
    );
  }

  get status(): WakingStatus {
    return this.waking.status();
  }

  mirrors = (): readonly string[] => MIRRORS;
  wake = (name: string): void => void this.woken.add(name);
  missing = (name: string): void => void this.gone.add(name);
  found = (name: string): void => void this.there.add(name);

  /** Waits until exactly these were woken. */
  async wakes(names: readonly string[]): Promise<void> {
    await until(`${names.join()} to be woken`, () => names.every((name) => this.woken.has(name)));
    expect([...this.woken].filter((name) => MIRRORS.includes(name)).sort()).toEqual([...names].sort());
    this.woken.clear();
  }
}

describe('where the upstream tells of changes', () => {
  test('a write wakes its mirror and no other, and the status says how', async () => {
    const mirrors = await Mirrors.started();
    expect(mirrors.status).toMatchObject({ by: '_db_updates', reason: null, last_event: null });
    await write('waking-c');
    await mirrors.wakes(['waking-c']);
    expect(mirrors.status.last_event).not.toBeNull();
  });

  test('a database that is made is told of, and one that is deleted', async () => {
    const mirrors = await Mirrors.started();
    await back.ask('PUT', '/waking-new');
    await until('the new one', () => mirrors.there.has('waking-new'));
    await back.ask('DELETE', '/waking-new');
    await until('the deleted one', () => mirrors.gone.has('waking-new'));
  });

  test('what happens while it is away wakes its mirror, and no other, when it is back', async () => {
    const mirrors = await Mirrors.started();
    await write('waking-a');
    await mirrors.wakes(['waking-a']);
    mirrors.waking.stop();
    expect(mirrors.status.by).toBeNull();
    await write('waking-b');
    await mirrors.start();
    await mirrors.wakes(['waking-b']);
    await write('waking-a');
    await mirrors.wakes(['waking-a']);
  });

  test('a security object wakes its mirror, also where it becomes again what it was', async () => {
    const mirrors = await Mirrors.started('admin:secret', 200);
    const security = '/waking-b/_security';
    const before = (await back.ask('GET', security)).body;
    for (const json of [{ members: { roles: ['crew'] } }, before]) {
      await back.ask('PUT', security, { json });
      await mirrors.wakes(['waking-b']);
    }
  });

  test('everything is looked at where events may be missing: their database was made anew', async () => {
    const mirrors = await Mirrors.started();
    mirrors.waking.stop();
    await write('waking-d');
    await back.ask('DELETE', '/_global_changes');
    await back.ask('PUT', '/_global_changes');
    await mirrors.start();
    await mirrors.wakes(['waking-d']);
  });

  test('polls follow within one life of the link where the feed ends for good', async () => {
    const mirrors = await Mirrors.started('admin:secret', 100);
    await back.ask('DELETE', '/_global_changes');
    await until('polls', () => mirrors.status.by === 'polls');
    await write('waking-b');
    await mirrors.wakes(['waking-b']);
  });

  test('another upstream is one of which nothing is known', async () => {
    const mirrors = await Mirrors.started();
    mirrors.waking.forget();
    await mirrors.start();
    await mirrors.wakes(MIRRORS);
  });
});

describe.each([
  ['the account may not read events', 'gate:way', /may not read/],
  ['nobody made the database of the events', 'admin:secret', /_global_changes/],
])('where %s', (_case, account, reason) => {
  const started = async (): Promise<Mirrors> => {
    if (account.startsWith('admin')) await back.ask('DELETE', '/_global_changes');
    return Mirrors.started(account, 100);
  };

  test('all are looked at in turns, and the status says why', async () => {
    const mirrors = await started();
    expect(mirrors.status).toMatchObject({ by: 'polls', reason: expect.stringMatching(reason) as string });
    await write('waking-a');
    await mirrors.wakes(['waking-a']);
  });

  test('a purge wakes a mirror, and another security object', async () => {
    const mirrors = await started();
    const { body } = await back.ask('PUT', `/waking-a/purged-${documents++}`, { json: {} });
    const { id, rev } = body as { id: string; rev: string };
    await mirrors.wakes(['waking-a']);
    await back.ask('POST', '/waking-a/_purge', { json: { [id]: [rev] } });
    await mirrors.wakes(['waking-a']);
    const roles = [`role-${documents++}`];
    await back.ask('PUT', '/waking-b/_security', { json: { members: { names: ['gate'], roles } } });
    await mirrors.wakes(['waking-b']);
  });

  test('a database that is gone is told of, and woken when it was made anew', async () => {
    const mirrors = await started();
    await back.ask('DELETE', '/waking-d');
    await until('it to be missed', () => mirrors.gone.has('waking-d'));
    await make('waking-d');
    await mirrors.wakes(['waking-d']);
  });
});

test('names of new databases are asked for where no events tell of them and they are of interest', async () => {
  await back.ask('DELETE', '/_global_changes');
  const mirrors = new Mirrors('admin:secret', 100);
  mirrors.wantsNames = true;
  await mirrors.start();
  await until('those that are there', () => MIRRORS.every((name) => mirrors.there.has(name)));
  await back.ask('PUT', '/waking-later');
  await until('a new one', () => mirrors.there.has('waking-later'));
});
