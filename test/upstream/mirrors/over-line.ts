import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, beforeEach } from 'vitest';
import { startUsers, type Users } from '../../auth/users/gateway.js';
import { type Fault, type FaultyProxy, startFaultyProxy } from '../../support/faulty-proxy.js';
import { until } from '../../system/support/wait.js';
import { linkOf } from '../pair.js';
import { type Gate, startGate } from './gate.js';
import { contentOf, fill, isHere, mirroring, type Values } from './pair.js';

/** What a gateway says of a mirror, as far as it is looked at. */
interface Shown {
  readonly state: string;
  readonly reason: string | null;
  readonly warm: boolean;
  readonly ahead: number;
  readonly last_error: unknown;
  readonly last_synced: string | null;
  readonly rejections: number;
  readonly left_out: number;
}

/** A gateway that mirrors another one over a line on which a test has requests fail, or wait. */
export interface OverLine {
  readonly front: Users;
  readonly back: Users;
  /** Of requests that nothing else goes wrong with. */
  readonly gate: Gate;
  readonly proxy: FaultyProxy;
  readonly shown: (name: string) => Promise<Shown>;
  /** Makes a database in both places, between which changes flow. */
  readonly prepare: (name: string) => Promise<void>;
  /** Has a mirror look at once. */
  readonly sync: (name: string) => Promise<unknown>;
  readonly inBoth: (name: string) => Promise<unknown>;
}

/** Starts one for all tests of a file, at each of which the line is good and the upstream is seen. */
export function overLine(values: Values): OverLine {
  let parts: Pick<OverLine, 'front' | 'back' | 'gate' | 'proxy'> | undefined;
  const started = (): NonNullable<typeof parts> => {
    if (parts === undefined) throw new Error('only tests may use it');
    return parts;
  };
  const { shown, sync } = asking(() => started().front);
  beforeAll(async () => {
    const back = await startUsers();
    const gate = await startGate(back.gateway.url);
    const proxy = await startFaultyProxy(Number(new URL(gate.url).port));
    const front = await startUsers(mirroring(`http://127.0.0.1:${proxy.port}/`, values));
    parts = { front, back, gate, proxy };
  });
  beforeEach(async () => {
    const { front, gate, proxy } = started();
    proxy.faults = () => undefined;
    gate.open();
    await until('the upstream to be seen', async () => (await linkOf(front)).state === 'online');
  });
  afterAll(async () => {
    const { front, back, gate, proxy } = started();
    gate.open();
    await front.stop();
    await proxy.close();
    gate.close();
    await back.stop();
  });
  return {
    get front() {
      return started().front;
    },
    get back() {
      return started().back;
    },
    get gate() {
      return started().gate;
    },
    get proxy() {
      return started().proxy;
    },
    shown,
    sync,
    async prepare(name) {
      const { front, back } = started();
      await back.ask('PUT', `/${name}`);
      await fill(back, name, 3);
      await isHere({ front, back }, name);
      await until('it to be in step', async () => (await shown(name)).last_synced !== null);
    },
    inBoth(name) {
      const { front, back } = started();
      return until('both to have the same', async () =>
        isDeepStrictEqual(await contentOf(front, name), await contentOf(back, name)),
      );
    },
  };
}

function asking(front: () => Users): Pick<OverLine, 'shown' | 'sync'> {
  return {
    shown: async (name) => (await front().ask('GET', `/_gateway/databases/${name}`)).body as Shown,
    sync: (name) => front().ask('POST', `/_gateway/databases/${name}/sync`, { json: {} }),
  };
}

/** What a server answers that says no. */
export const refusal = (status: number, error: string, reason: string): Fault => ({
  kind: 'answer',
  status,
  body: JSON.stringify({ error, reason }),
});
