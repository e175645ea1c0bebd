import { expect, test } from 'vitest';
import { Rejections } from '../../src/rejections/rejections.js';
import { Tasks } from '../../src/observe/tasks.js';
import { OwnServer } from '../../src/replicator/own-server.js';
import { Peers } from '../../src/replicator/peers.js';
import { parseRequest } from '../../src/replicator/request.js';
import { run } from '../../src/replicator/running.js';
import { loadConfig } from '../../src/config/load.js';
import { until } from '../system/support/wait.js';

test('a replication that waits for a name to be resolved can be stopped at once', async () => {
  const { config } = loadConfig({ values: {} });
  let asked = 0;
  const peers = new Peers(
    {
      config,
      accountOf: () => Promise.resolve({ name: 'admin', roles: ['_admin'] }),
      resolve: () => {
        asked++;
        return new Promise<never>(() => undefined);
      },
    } as unknown as ConstructorParameters<typeof Peers>[0],
    new OwnServer('http://127.0.0.1:1'),
  );
  const [source, target] = ['http://silent.example/source', 'http://silent.example/target'];
  const request = parseRequest({ source, target }, config.replication);
  const log = { info: () => undefined, warn: () => undefined };
  const tasks = new Tasks();
  const running = run(
    {
      id: { base: 'x', full: 'x' },
      request,
      as: { name: 'admin', roles: ['_admin'] },
      hasAccount: true,
      user: 'admin',
      document: undefined,
      startTime: 0,
    },
    { peers, tasks, log, config, rejections: new Rejections('/nowhere') },
  );
  const ended = running.done.catch((error: unknown) => error);
  await until('the name is asked for', () => asked === 1);
  await running.stop();
  expect(await ended).toMatchObject({ name: 'AbortError' });
  expect(tasks.list()).toEqual([]);
});
