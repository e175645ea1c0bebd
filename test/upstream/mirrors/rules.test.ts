import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startUsers } from '../../auth/users/gateway.js';
import { startGateway, temporaryFolder } from '../../support/server.js';
import { until } from '../../system/support/wait.js';
import { startGate } from './gate.js';

test('a local database does not become the beginning of a mirror that was asked for under other rules', async () => {
  const back = await startUsers();
  onTestFinished(() => back.stop());
  const gate = await startGate(back.gateway.url);
  onTestFinished(() => gate.close());
  const folder = await temporaryFolder();
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'causeway.yaml');
  const upstream = `upstream: {url: "${gate.url}", username: admin, password: secret}`;
  const write = (mode: string): Promise<void> =>
    writeFile(file, `${upstream}\nstore: {minFree: 0}\ndatabases: [{match: "*", mode: ${mode}}]\n`);
  await write('mirror');
  const gateway = await startGateway({ args: ['--config', file] });
  onTestFinished(async () => {
    await gateway.stop();
  });
  const ask = async (method: string, at: string): Promise<{ status: number; body: unknown }> => {
    const headers = { authorization: gateway.authorization, 'content-type': 'application/json' };
    const body = method === 'PUT' ? '{}' : null;
    const answer = await fetch(`${gateway.url}${at}`, { method, headers, body });
    return { status: answer.status, body: await answer.json() };
  };
  const change = async (mode: string, hasCome: () => Promise<boolean>): Promise<void> => {
    await write(mode);
    gateway.program.signal('SIGHUP');
    await until(`the rule for ${mode}`, hasCome);
  };
  await back.ask('PUT', '/moved');
  gate.holds = (method, at, isClients) => !isClients && method === 'GET' && at === '/moved';
  await until('the mirror to be asked for', async () => {
    const { status } = await ask('GET', '/moved');
    return status === 200 && gate.waiting > 0;
  });
  await change('local', async () => (await ask('GET', '/moved')).status === 404);
  expect((await ask('PUT', '/moved')).status).toBe(201);
  expect((await ask('PUT', '/moved/mine')).status).toBe(201);
  gate.open();
  await until('it to be answered', () => gate.waiting === 0);
  await change('mirror', async () => (await ask('GET', '/_gateway/databases/moved')).status === 200);
  await until('it to be met', async () => {
    const { body } = await ask('GET', '/_gateway/databases/moved');
    return (body as { state: string }).state === 'upstream-differs';
  });
  expect((await ask('GET', '/moved/mine')).status).toBe(200);
});
