import { once } from 'node:events';
import net from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { forgeries, type Forgery, type Genuine, type Probe } from './support/forgeries.js';
import { Heap } from './support/heap.js';
import { INSPECTABLE } from './support/inspector.js';
import { Restartable } from './support/restartable.js';

/** The soak asks for more. */
const RUNS = Number(process.env.AUTHORIZATION_RUNS ?? 400);
/** Failures are counted for so many names, and every part of the program is compiled at some time. */
const KEPT = 10e6;

const ANN = { name: 'ann', password: 'p\u00e4ss:w\u00f6rd' };
const ADMIN = { name: 'admin', password: 'secret' };

let gateway: Restartable;
let genuine: Genuine;

beforeAll(async () => {
  // Failures are counted, and nobody is locked out: a refusal for their number would hide any other answer.
  const env = {
    ...INSPECTABLE,
    CAUSEWAY_PASSWORDS_ITERATIONS: '1',
    CAUSEWAY_LOCKOUT_MODE: 'warn',
    CAUSEWAY_LOG_LEVEL: 'error',
  };
  gateway = await Restartable.start({ env });
  await gateway.couch.put('/private');
  await gateway.couch.put('/private/doc', {});
  await putUser(ANN.name, 'former');
  await putUser('gone', 'x');
  const stale = [
    await cookieOf({ name: 'ann', password: 'former' }),
    await cookieOf({ name: 'gone', password: 'x' }),
  ];
  await putUser(ANN.name, ANN.password);
  await gateway.couch.delete(`/_users/org.couchdb.user:gone?rev=${await revOf('gone')}`);
  const cookies = [await cookieOf(ADMIN), await cookieOf(ANN)];
  genuine = { cookies, stale, credentials: [ADMIN, ANN].map(({ name, password }) => `${name}:${password}`) };
});
afterAll(() => gateway.remove());

async function revOf(name: string): Promise<string | undefined> {
  const response = await gateway.couch.request('GET', `/_users/org.couchdb.user:${name}`);
  return response.status === 200 ? (response.body as { _rev: string })._rev : undefined;
}

async function putUser(name: string, password: string): Promise<void> {
  const _rev = await revOf(name);
  await gateway.couch.put(`/_users/org.couchdb.user:${name}`, {
    _rev,
    name,
    type: 'user',
    roles: [],
    password,
  });
}

async function cookieOf(login: object): Promise<string> {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(`${gateway.url}/_session`, {
    method: 'POST',
    headers,
    body: JSON.stringify(login),
  });
  const [, value] = /^AuthSession=([^;]+);/.exec(response.headers.get('set-cookie') ?? '') ?? [];
  if (value === undefined) throw new Error(`no session: ${await response.text()}`);
  return value;
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** Undefined where the server closed the connection without a word, as it may for what is no request. */
async function send({ bytes }: Forgery): Promise<Answer | undefined> {
  const socket = net.connect(gateway.port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  // A server that has seen enough may close while we still send.
  socket.on('error', () => undefined);
  socket.write(bytes);
  await once(socket, 'close');
  const text = Buffer.concat(chunks).toString();
  const [, status] = /^HTTP\/1\.1 (\d{3}) /.exec(text) ?? [];
  if (status === undefined) return undefined;
  return { status: Number(status), body: JSON.parse(text.slice(text.indexOf('\r\n\r\n') + 4)) };
}

/** What a stranger may be told. */
function expectNoRight(probe: Probe, { status, body }: Answer): void {
  const NOBODY = { ok: true, userCtx: { name: null, roles: [] } };
  if (probe === 'who' && status === 200) expect(body).toMatchObject(NOBODY);
  else expect({ probe, body, status }).toMatchObject({ status: expect.toBeOneOf(REFUSALS) as number });
}

const REFUSALS = [400, 401, 403, 413, 415, 431];

it('forged sessions, passwords and log-ins give nobody a right, and the server goes on', async () => {
  const heap = await Heap.of(gateway.program);
  const counts = new Map<number, number>();
  let runs = 0;
  let before = 0;
  await fc.assert(
    fc.asyncProperty(forgeries(genuine), async (forgery) => {
      // Until then caches fill.
      if (runs++ === RUNS >> 1) before = await heap.reachable();
      const answer = await send(forgery);
      if (answer === undefined) return;
      counts.set(answer.status, (counts.get(answer.status) ?? 0) + 1);
      expectNoRight(forgery.probe, answer);
    }),
    { numRuns: RUNS, endOnFailure: true },
  );
  // Each kind of refusal was met.
  for (const status of [200, 400, 401]) expect(counts.get(status) ?? 0).toBeGreaterThan(RUNS / 100);
  expect((await heap.reachable()) - before).toBeLessThan(KEPT);
  heap.close();

  for (const cookie of genuine.cookies) {
    const response = await fetch(`${gateway.url}/_session`, { headers: { cookie: `AuthSession=${cookie}` } });
    expect(await response.json()).toMatchObject({ userCtx: { name: expect.any(String) as string } });
  }
  for (const pair of genuine.credentials) {
    const authorization = `Basic ${Buffer.from(pair).toString('base64')}`;
    expect((await fetch(`${gateway.url}/`, { headers: { authorization } })).status).toBe(200);
  }
  expect(await gateway.couch.get('/_all_dbs')).toEqual(['_replicator', '_users', 'private']);
  expect(gateway.program.stderr).not.toContain('"level"');
}, 600_000);
