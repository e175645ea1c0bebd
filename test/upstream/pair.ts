import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { ConfigValues } from '../../src/config/schema.js';
import { startUsers, type Users } from '../auth/users/gateway.js';
import { until } from '../system/support/wait.js';

export const SECRET = 'the cookie secret of the upstream';

/** A gateway in front of another one; what begins with `local-` is its own, everything else at the upstream. */
export interface Pair {
  readonly front: Users;
  readonly back: Users;
  stop(): Promise<void>;
}

/** What an upstream needs that is told who asks. */
export const TRUSTING: ConfigValues = {
  auth: { handlers: ['proxy', 'cookie', 'default'] },
  proxy: { secret: SECRET },
};

/** @param shared whether the gateway can tell the upstream who asks */
export async function startPair(shared: boolean, settings: ConfigValues = {}): Promise<Pair> {
  const folder = await mkdtemp(path.join(tmpdir(), 'causeway-test-'));
  const secretFile = path.join(folder, 'secret');
  await writeFile(secretFile, `${SECRET}\n`);
  const back = await startUsers(shared ? TRUSTING : {});
  const front = await startUsers({
    upstream: {
      url: back.gateway.url,
      username: 'admin',
      password: 'secret',
      firstRetry: 50,
      ...(shared && { proxySecretFile: secretFile }),
      ...settings.upstream,
    },
    databases: [
      { match: 'local-*', mode: 'local' },
      { match: '*', mode: 'proxy' },
    ],
    ...settings,
  });
  await until('the upstream to be seen', async () => (await linkOf(front)).state === 'online');
  return {
    front,
    back,
    async stop() {
      await front.stop();
      await back.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export interface ShownLink {
  readonly state: string;
  readonly reason: string | null;
  readonly failures: number;
  /** Seconds. */
  readonly next_probe_in: number | null;
  readonly counters: Readonly<Record<string, number>>;
}

/** What the status of a gateway says of its upstream. */
export async function linkOf(front: Users): Promise<ShownLink> {
  const { body } = await front.ask('GET', '/_gateway/status');
  return (body as { upstream: ShownLink }).upstream;
}
