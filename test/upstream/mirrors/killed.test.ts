import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PouchDB } from '../../system/support/pouch.js';
import { Restartable } from '../../system/support/restartable.js';
import { until } from '../../system/support/wait.js';
import { type Gate, startGate } from './gate.js';

const DOCUMENTS = 400;

let back: Restartable;
let gate: Gate;
let front: Restartable;
beforeAll(async () => {
  back = await Restartable.start();
  gate = await startGate(back.url);
  front = await Restartable.start({
    args: ['--upstream', gate.url, '--upstream-username', back.auth.username, '--upstream-first-retry', '50'],
    env: { CAUSEWAY_UPSTREAM_PASSWORD: back.auth.password },
  });
});
afterAll(async () => {
  gate.open();
  await front.remove();
  gate.close();
  await back.remove();
});

type Fetch = (url: string, options: object) => Promise<Response>;

/** PouchDB has requests whose failures nobody waits for: they are answers. */
const answered: Fetch = (url, options) =>
  (PouchDB as unknown as { fetch: Fetch })
    .fetch(url, options)
    .catch(() => new Response('{"error":"away"}', { status: 503 }));

/** What came of a client that replicates once. */
async function replicateOnce(name: string): Promise<{ isComplete: boolean; documents: number }> {
  const local = new PouchDB(`killed-${randomBytes(6).toString('hex')}`, { adapter: 'memory' });
  try {
    const remote = new PouchDB(`${front.url}/${name}`, {
      auth: front.auth,
      fetch: answered,
      skip_setup: true,
    });
    const isComplete = await local.replicate.from(remote, { batch_size: 20 }).then(
      () => true,
      () => false,
    );
    return { isComplete, documents: (await local.info()).doc_count };
  } finally {
    await local.destroy();
  }
}

/** Whether the gateway answers for it by itself. */
const isWarm = async (name: string): Promise<boolean> =>
  ((await front.couch.get(`/_gateway/databases/${name}`)) as { warm?: boolean }).warm === true;

test.each([
  ['before anything came', 'none', '_bulk_get'],
  ['when all has come but the switch', 'all', '_local/'],
])(
  'I4: who replicates once while the gateway is killed in mid-warm-up, %s, has everything, or a failure',
  async (_, name, stop) => {
    await back.couch.put(`/${name}`);
    const docs = Array.from({ length: DOCUMENTS }, (__, at) => ({ _id: `d${at}`, at }));
    await back.couch.post(`/${name}/_bulk_docs`, { docs });
    gate.holds = (method, path, isClients) =>
      !isClients && path.startsWith(`/${name}/${stop}`) && (stop !== '_local/' || isCheckpoint(method, path));
    const client = replicateOnce(name);
    await until('the mirror to be under way', () => gate.waiting > 0);
    await front.kill();
    gate.open();
    await front.start();
    const { isComplete, documents } = await client;
    expect(isComplete && documents !== DOCUMENTS).toBe(false);
    expect(await replicateOnce(name)).toEqual({ isComplete: true, documents: DOCUMENTS });
    await until('it to be warm', () => isWarm(name));
    expect(await replicateOnce(name)).toEqual({ isComplete: true, documents: DOCUMENTS });
  },
);

const isCheckpoint = (method: string, path: string): boolean =>
  method === 'PUT' && !path.includes('causeway-mirror');
