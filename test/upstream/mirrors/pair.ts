import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { ConfigValues } from '../../../src/config/schema.js';
import { startUsers, type Users } from '../../auth/users/gateway.js';
import { until } from '../../system/support/wait.js';
import { linkOf } from '../pair.js';

/** Of an upstream that a test stops and starts: others must find it where it was. */
export type Values = ConfigValues;

/** What mirrors a server. */
export const mirroring = (url: string, { upstream, ...values }: Values = {}): Values => ({
  upstream: { url, username: 'admin', password: 'secret', firstRetry: 50, longestRetry: 300, ...upstream },
  store: { minFree: 0 },
  ...values,
});

export interface Mirrored {
  /** The gateway; another one after `restart`. */
  readonly front: Users;
  readonly back: Users;
  /** Stops the upstream; `comeBack` starts it again on the same port. */
  goAway(): Promise<void>;
  comeBack(): Promise<void>;
  /** Stops and starts the gateway. */
  restart(values?: Values): Promise<void>;
  stop(): Promise<void>;
}

/** A gateway that mirrors another one. */
export async function startMirrored(values: Values = {}): Promise<Mirrored> {
  const root = await mkdtemp(path.join(tmpdir(), 'causeway-test-'));
  let back = await startUsers({}, path.join(root, 'back'));
  const { port } = back;
  let front = await startUsers(mirroring(back.gateway.url, values), path.join(root, 'front'));
  const online = (): Promise<unknown> =>
    until('the upstream to be seen', async () => (await linkOf(front)).state === 'online');
  await online();
  return {
    get front() {
      return front;
    },
    get back() {
      return back;
    },
    goAway: () => back.stop(),
    async comeBack() {
      back = await startUsers({ port }, path.join(root, 'back'));
    },
    async restart(others = values) {
      await front.stop();
      front = await startUsers(mirroring(back.gateway.url, others), path.join(root, 'front'));
    },
    async stop() {
      await front.stop();
      await back.stop();
      await rm(root, { recursive: true, force: true });
    },
  };
}

/** Fills a database with documents `d0`, `d1` and so on. */
export async function fill(server: Pick<Users, 'ask'>, name: string, count: number): Promise<void> {
  const docs = Array.from({ length: count }, (_, at) => ({ _id: `d${at}`, at }));
  const { status, body } = await server.ask('POST', `/${name}/_bulk_docs`, { json: { docs } });
  if (status !== 201) throw new Error(JSON.stringify(body));
}

/** The ids of all documents, with their revisions. */
export async function contentOf(server: Pick<Users, 'ask'>, name: string): Promise<Record<string, string>> {
  const { body } = await server.ask('GET', `/${name}/_all_docs`);
  const { rows = [] } = body as { rows?: { id: string; value: { rev: string } }[] };
  return Object.fromEntries(rows.map(({ id, value }) => [id, value.rev]));
}

/** Waits until a database is answered for by the gateway. */
export async function isHere({ front, back }: Pick<Mirrored, 'front' | 'back'>, name: string): Promise<void> {
  const lifeOf = async (server: Users): Promise<unknown> => {
    const { status, body } = await server.ask('GET', `/${name}`);
    return status === 200 && (body as { instance_start_time: string }).instance_start_time;
  };
  const there = await lifeOf(back);
  await until(`${name} to be here`, async () => {
    const here = await lifeOf(front);
    return here !== false && here !== there;
  });
}
