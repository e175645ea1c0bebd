import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startUsers } from '../../auth/users/gateway.js';
import { startGateway, temporaryFolder } from '../../support/server.js';
import { until } from '../../system/support/wait.js';
import { startGate } from './gate.js';

/** A program that mirrors a server, and whose rules are changed while it runs. */
async function startChanging() {
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
  return { back, gate, ask, change, gateway };
}

test('what has not gone up of a mirror is told when the rules send everybody upstream, and waits there (I6)', async () => {
  const { back, gate, ask, change, gateway } = await startChanging();
  await back.ask('PUT', '/hidden');
  const shown = async (): Promise<unknown> => (await ask('GET', '/_gateway/databases/hidden')).body;
  await until('it to be warm', async () => {
    await ask('GET', '/hidden');
    return ((await shown()) as { warm?: boolean }).warm === true;
  });
  gate.holds = (method) => method === 'POST';
  for (const id of ['mine', 'too']) await ask('PUT', `/hidden/${id}`);
  await change('proxy', async () => (await ask('GET', '/hidden/mine')).status === 404);
  expect(await shown()).toMatchObject({ mode: 'proxy', copy: { ahead: 2 } });
  await gateway.program.printed('stderr', /"database":"hidden","ahead":2,.*have not gone up/);
  await change('mirror', async () => (await ask('GET', '/hidden/mine')).status === 200);
  gate.open();
  await until('all to be there', async () => (await back.ask('GET', '/hidden/too')).status === 200);
});

test('a local database does not become the beginning of a mirror that was asked for under other rules', async () => {
  const { back, gate, ask, change } = await startChanging();
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
