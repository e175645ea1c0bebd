import { expect, it, onTestFinished } from 'vitest';
import { Couch } from './support/couch.js';
import { Restartable } from './support/restartable.js';
import { until } from './support/wait.js';

const CONFIG = '/_node/_local/_config';
const KILLS = 3;
const CLIENTS = 4;
/** So many answers each client gets at least before the server is killed. */
const ANSWERS = 5;

/** A client that sets a key to one number after the other. */
interface Counter {
  readonly key: string;
  asked: number;
  acknowledged: number;
}

/** Counts until the server is gone. */
async function count(couch: Couch, counter: Counter): Promise<void> {
  for (;;) {
    counter.asked++;
    const body = String(counter.asked);
    const answer = await couch
      .request('PUT', `${CONFIG}/counts/${counter.key}`, { body })
      .catch(() => undefined);
    if (answer === undefined) return;
    expect(answer.status).toBe(200);
    counter.acknowledged = counter.asked;
  }
}

it('what was set over HTTP is there after SIGKILL, as far as it was answered, and in effect', async () => {
  const server = await Restartable.start();
  onTestFinished(() => server.remove());
  const { couch } = server;
  await couch.request('PUT', `${CONFIG}/admins/bo`, { body: 'pear' });
  await couch.request('PUT', `${CONFIG}/couchdb/max_document_size`, { body: '1000' });
  const counters = Array.from({ length: CLIENTS }, (_, client) => ({
    key: `k${String(client)}`,
    asked: 0,
    acknowledged: 0,
  }));
  for (let kill = 0; kill < KILLS; kill++) {
    const before = counters.map(({ acknowledged }) => acknowledged);
    const counting = counters.map((counter) => count(couch, counter));
    await until('all clients have answers', () =>
      counters.every(({ acknowledged }, client) => acknowledged >= (before[client] ?? 0) + ANSWERS),
    );
    await server.kill();
    await Promise.all(counting);
    await server.start();
    const kept = (await couch.get(`${CONFIG}/counts`)) as Record<string, string>;
    for (const counter of counters) {
      const found = Number(kept[counter.key]);
      expect(found).toBeGreaterThanOrEqual(counter.acknowledged);
      expect(found).toBeLessThanOrEqual(counter.asked);
      counter.asked = counter.acknowledged = found;
    }
  }
  const bo = new Couch(server.url, `Basic ${Buffer.from('bo:pear').toString('base64')}`);
  onTestFinished(() => bo.close());
  expect(await bo.get('/_session')).toMatchObject({ userCtx: { name: 'bo', roles: ['_admin'] } });
  await bo.request('PUT', '/db');
  const large = { v: 'x'.repeat(2000) };
  expect(await bo.request('PUT', '/db/doc', { body: large })).toMatchObject({ status: 413 });
});
