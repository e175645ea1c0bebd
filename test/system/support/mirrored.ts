import { startFaultyProxy } from '../../support/faulty-proxy.js';
import { BadLine, type Kinds } from './bad-line.js';
import type { Remote } from './pouch-clients.js';
import type { Random } from './random.js';
import { Restartable } from './restartable.js';
import { until, type WaitOptions } from './wait.js';

/** A gateway with its line to the upstream. */
export interface Front {
  readonly gateway: Restartable;
  readonly line: BadLine;
}

export interface FrontOptions {
  readonly random: Random;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** What may go wrong on the line; anything when left out. */
  readonly kinds?: Kinds;
}

/** Starts a gateway that reaches its upstream over a line of its own, which fails once it is spoilt. */
export async function startFront(
  upstream: Remote,
  { random, args = [], env = {}, kinds }: FrontOptions,
): Promise<Front> {
  const line = new BadLine(await startFaultyProxy(Number(new URL(upstream.url).port)), random, kinds);
  const gateway = await Restartable.start({
    args: [
      ...args,
      ...['--upstream', `http://127.0.0.1:${String(line.port)}`],
      ...['--upstream-username', upstream.auth.username],
      ...['--upstream-first-retry', '100', '--upstream-longest-retry', '2000', '--upstream-timeout', '3000'],
    ],
    env: { CAUSEWAY_UPSTREAM_PASSWORD: upstream.auth.password, ...env },
  });
  return { gateway, line };
}

/** What a gateway says of a mirror, as far as it is looked at. */
export interface ShownMirror {
  readonly state: string;
  readonly warm: boolean;
  readonly ahead: number;
}

export const mirrorPath = (database: string): string => `/_gateway/databases/${database}`;

export async function shownMirror(gateway: Restartable, database: string): Promise<ShownMirror> {
  return (await gateway.couch.get(mirrorPath(database))) as ShownMirror;
}

/** Drops the copy of a database that is deleted upstream: it is kept until somebody says so. */
export async function dropMirror(gateway: Restartable, database: string, wait: WaitOptions): Promise<void> {
  await gateway.couch.post(`${mirrorPath(database)}/sync`, {});
  const isMissing = async (): Promise<boolean> =>
    (await shownMirror(gateway, database)).state === 'upstream-missing';
  await until('the gateway sees that it is gone', isMissing, wait);
  await gateway.couch.post(`${mirrorPath(database)}/evict?force=true`, {});
}
