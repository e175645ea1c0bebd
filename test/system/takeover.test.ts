import { rm } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { FORMER_ADMIN, makeFormerDirectory, SECURITY, VIEW_INDEX } from '../support/former-server.js';
import { startProgram, temporaryFolder } from '../support/server.js';
import { Couch } from './support/couch.js';
import { startKilled, whyNoStrace } from './support/strace.js';

const obstacle = await whyNoStrace();
if (obstacle !== undefined)
  process.stderr.write(`kills during a take-over are not tried here: ${obstacle}\n`);
const kills = obstacle === undefined || process.env.CI === 'true';

let data: string;

beforeAll(async () => {
  data = await temporaryFolder();
  await makeFormerDirectory(data);
});
afterAll(() => rm(data, { recursive: true, force: true }));

it('a data directory of pouchdb-server is taken over, through kills, and served to the same people', async () => {
  for (const folder of kills ? ['_users', 'closed', VIEW_INDEX, 'pouch__all_dbs__'] : [])
    expect(await startKilled(['--data', data], path.join(data, folder))).toBe('SIGKILL');
  const program = startProgram(['serve', '--data', data, '--port', '0']);
  try {
    const [, url = ''] = await program.printed('stdout', /ready at (\S+?);/);
    const { name: admin, password } = FORMER_ADMIN;
    const couch = new Couch(url, `Basic ${Buffer.from(`${admin}:${password}`).toString('base64')}`);
    const anonymous = new Couch(url);
    const names = ['_replicator', '_users', 'a_b$(c)+-d', 'closed', 'odd', 'public', 'simple'];
    expect(await couch.get('/_all_dbs')).toEqual(names);
    for (const name of names)
      expect(await couch.get(`/${encodeURIComponent(name)}/from`)).toMatchObject({ name });
    expect(await couch.get('/closed/_security')).toEqual(SECURITY);
    for (const name of names) {
      const { status } = await anonymous.request('GET', `/${encodeURIComponent(name)}/from`);
      expect([name, status]).toEqual([name, name === 'public' ? 200 : 401]);
    }
    await couch.put('/simple/new', {});
    await couch.put('/odd/_security', { members: { names: ['alice'] } });
    await couch.close();
    await anonymous.close();
  } finally {
    program.signal('SIGTERM');
    expect(await program.ended).toBe(0);
  }
});
