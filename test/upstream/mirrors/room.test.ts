import path from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createLogger } from '../../../src/observe/log.js';
import { startUsers } from '../../auth/users/gateway.js';
import { startFaultyProxy } from '../../support/faulty-proxy.js';
import { canMount, SmallDisk } from '../../system/support/small-disk.js';
import { until } from '../../system/support/wait.js';
import { linkOf } from '../pair.js';
import { contentOf, fill, isHere, mirroring } from './pair.js';

const MiB = 1024 * 1024;

describe.runIf(canMount())('on a disk with less room than store.minFree', () => {
  test('no mirror is made, which is said once, until there is room again', async () => {
    const disk = SmallDisk.mount(48);
    onTestFinished(() => disk.remove());
    const back = await startUsers();
    onTestFinished(() => back.stop());
    for (const name of ['orders', 'books']) {
      await back.ask('PUT', `/${name}`);
      await fill(back, name, 3);
    }
    const line = await startFaultyProxy(back.port);
    onTestFinished(() => line.close());
    const asked: string[] = [];
    line.faults = (method, where) => {
      if (where.startsWith('/orders')) asked.push(`${method} ${where}`);
      return undefined;
    };
    const lines: string[] = [];
    const log = createLogger({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
    const settings = mirroring(`http://127.0.0.1:${line.port}`, {
      store: { minFree: 24 * MiB },
      databases: [
        { match: 'books', mode: 'mirror', start: 'eager' },
        { match: '*', mode: 'mirror' },
      ],
    });
    disk.fill(16 * MiB);
    const front = await startUsers(settings, path.join(disk.folder, 'data'), { log });
    onTestFinished(() => front.stop());
    await until('the upstream to be seen', async () => (await linkOf(front)).state === 'online');
    const warnings = (): number => lines.filter((line) => line.includes('store.minFree')).length;
    const mirrors = async (): Promise<number> => {
      const { body } = await front.ask('GET', '/_gateway/databases');
      return (body as { total: number }).total;
    };

    for (const name of ['orders', 'books', 'orders', 'books'])
      expect(Object.keys(await contentOf(front, name))).toEqual(['d0', 'd1', 'd2']);
    asked.length = 0;
    const { status } = await front.ask('PUT', '/orders/new', { json: {} });
    expect(status).toBe(201);
    expect(asked).toEqual(['PUT /orders/new']);
    expect((await back.ask('GET', '/orders/new')).status).toBe(200);
    await until('a warning', async () => Promise.resolve(warnings() > 0));
    expect(await mirrors()).toBe(0);
    expect(warnings()).toBe(1);

    disk.relieve();
    await isHere({ front, back }, 'orders');
    expect(Object.keys(await contentOf(front, 'orders'))).toEqual(['d0', 'd1', 'd2', 'new']);
    expect(warnings()).toBe(1);
  });
});
