import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { databaseOf } from '../../../src/auth/users/per-user.js';
import { folderOf } from '../../../src/store/names.js';
import { until } from '../../system/support/wait.js';
import { startUsers, type Users } from './gateway.js';

let it: Users;
afterEach(() => it.stop());

const exists = async (name: string): Promise<boolean> => (await it.ask('GET', `/${name}`)).status === 200;
const securityOf = async (name: string): Promise<unknown> => (await it.ask('GET', `/${name}/_security`)).body;
const hex = (name: string): string => Buffer.from(name).toString('hex');

describe('a user’s own database', () => {
  test('is made when the user is, and is the user’s', async () => {
    it = await startUsers({ perUser: { enable: true } });
    await it.put('ann', { password: 'x' });
    await it.put('bob', { password: 'x' });
    const name = `userdb-${hex('ann')}`;
    const own = { names: ['ann'], roles: ['_admin'] };
    await until('it is hers', async () => JSON.stringify(await securityOf(name)).includes('ann'));
    expect(await securityOf(name)).toEqual({ admins: own, members: own });
    expect((await it.ask('PUT', `/${name}/doc`, { as: 'ann:x', json: {} })).status).toBe(201);
    expect((await it.ask('PUT', `/${name}/_design/d`, { as: 'ann:x', json: {} })).status).toBe(201);
    expect((await it.ask('GET', `/${name}/doc`, { as: 'bob:x' })).status).toBe(403);
    expect((await it.ask('GET', `/${name}/doc`, { as: null })).status).toBe(401);
  });

  test('stays without its user, who comes back to it', async () => {
    it = await startUsers({ perUser: { enable: true, databasePrefix: 'u-' } });
    const rev = await it.put('ann', { password: 'x' });
    const name = `u-${hex('ann')}`;
    const names = async (): Promise<unknown> => {
      const { admins } = (await securityOf(name)) as { admins?: { names?: unknown } };
      return admins?.names;
    };
    await until('it is hers', async () => JSON.stringify(await names()) === '["ann"]');
    await it.ask('DELETE', `${it.documentOf('ann')}?rev=${rev}`);
    await until('it is nobody’s', async () => JSON.stringify(await names()) === '[]');
    await it.put('ann', { password: 'x' });
    await until('it is hers again', async () => JSON.stringify(await names()) === '["ann"]');
  });

  test('is not everybody’s when the last of its members goes', async () => {
    it = await startUsers({ perUser: { enable: true } });
    const rev = await it.put('ann', { password: 'x' });
    const name = `userdb-${hex('ann')}`;
    await until('it is hers', async () => JSON.stringify(await securityOf(name)).includes('ann'));
    const own = { names: ['ann'] };
    const json = { admins: own, members: own };
    expect((await it.ask('PUT', `/${name}/_security`, { as: 'ann:x', json })).status).toBe(200);
    await it.ask('DELETE', `${it.documentOf('ann')}?rev=${rev}`);
    await until('she is gone', async () => !JSON.stringify(await securityOf(name)).includes('ann'));
    expect((await it.ask('GET', `/${name}`, { as: null })).status).toBe(401);
  });

  test('goes with its user where that is wanted', async () => {
    it = await startUsers({ perUser: { enable: true, deleteDbs: true } });
    const rev = await it.put('ann', { password: 'x' });
    const name = `userdb-${hex('ann')}`;
    await until('it is there', () => exists(name));
    await it.ask('DELETE', `${it.documentOf('ann')}?rev=${rev}`);
    await until('it is gone', async () => !(await exists(name)));
  });

  test('is made for those who were there before, and not again for those who have had one', async () => {
    const before = await startUsers();
    await before.put('ann', { password: 'x' });
    await before.gateway.close();
    it = await startUsers({ perUser: { enable: true } }, before.folder);
    const name = `userdb-${hex('ann')}`;
    await until('it is there', () => exists(name));
    await until('that is written down', async () => {
      const { body } = await it.ask('GET', '/_users/_local/causeway-per-user');
      return (body as { prefix?: string }).prefix === 'userdb-';
    });
    await it.ask('DELETE', `/${name}`);
    await it.gateway.close();
    it = await startUsers({ perUser: { enable: true } }, before.folder);
    await it.put('bob', { password: 'x' });
    await until('the next one is there', () => exists(`userdb-${hex('bob')}`));
    expect(await exists(name)).toBe(false);
    await it.gateway.close();
    await before.stop();
  });

  test('has a name that is nobody else’s', () => {
    expect(databaseOf('userdb-', 'a')).toBe('userdb-61');
    // In CouchDB this is 61, too.
    expect(databaseOf('userdb-', '\u0006\u0001')).toBe('userdb-0601');
    expect(databaseOf('userdb-', '../Zo\u00eb')).toBe('userdb-2e2e2f5a6fc3ab');
  });

  test('is made later where that fails, and others get theirs', async () => {
    it = await startUsers({ perUser: { enable: true } });
    const name = `userdb-${hex('ann')}`;
    const inTheWay = path.join(it.folder, 'databases', folderOf(name));
    await writeFile(inTheWay, '');
    await it.put('ann', { password: 'x' });
    await it.put('bob', { password: 'x' });
    await until('his is there', () => exists(`userdb-${hex('bob')}`));
    expect(await exists(name)).toBe(false);
    await it.gateway.close();
    await rm(inTheWay);
    const { folder } = it;
    it = await startUsers({ perUser: { enable: true } }, folder);
    await until('hers is there', () => exists(name));
    await it.gateway.close();
    await rm(folder, { recursive: true });
  });

  test('is missing for a user whose name is too long for one, and others get theirs', async () => {
    it = await startUsers({ perUser: { enable: true } });
    await it.put('x'.repeat(200), { password: 'x' });
    await it.put('ann', { password: 'x' });
    await until('it is there', () => exists(`userdb-${hex('ann')}`));
    expect((await it.ask('GET', '/_all_dbs')).body).toEqual([
      '_replicator',
      '_users',
      `userdb-${hex('ann')}`,
    ]);
  });
});
