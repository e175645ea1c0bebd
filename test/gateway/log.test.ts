import { afterEach, beforeEach, expect, test } from 'vitest';
import { createLogger } from '../../src/observe/log.js';
import { startUsers, type Users } from '../auth/users/gateway.js';

const CONFIG = '/_node/_local/_config';

let it: Users;
let lines: string[];
beforeEach(async () => {
  lines = [];
  const log = createLogger({ level: 'info' }, { write: (line: string) => void lines.push(line) });
  it = await startUsers({ lockout: { threshold: 3, lifetime: 60_000 } }, undefined, { log });
});
afterEach(() => it.stop());

/** What is new each time. */
const VARYING = new Set(['time', 'request', 'msg']);

/** The lines with a message. */
const told = (message: string): unknown[] =>
  lines
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .filter(({ msg }) => msg === message)
    .map((fields) => Object.fromEntries(Object.entries(fields).filter(([name]) => !VARYING.has(name))));

test('changes of the configuration are logged with who made them, and without secrets', async () => {
  await it.ask('PUT', `${CONFIG}/cors/origins`, { json: 'https://a.example' });
  await it.ask('PUT', `${CONFIG}/own/api_key`, { json: 'hush' });
  await it.ask('PUT', `${CONFIG}/admins/bo`, { json: 'hush' });
  await it.ask('DELETE', `${CONFIG}/cors/origins`, { as: 'bo:hush' });
  await it.ask('DELETE', `${CONFIG}/own/none`);
  await it.ask('PUT', `${CONFIG}/query_servers/sh`, { json: 'hush' });
  await it.ask('POST', `${CONFIG}/_reload`);
  const by = (user: string) => ({ level: 'info', user });
  expect(told('the configuration was changed')).toEqual([
    { ...by('admin'), section: 'cors', key: 'origins', value: 'https://a.example' },
    { ...by('admin'), section: 'own', key: 'api_key' },
    { ...by('admin'), section: 'admins', key: 'bo' },
    { ...by('bo'), section: 'cors', key: 'origins' },
  ]);
  expect(told('the configuration was read again')).toEqual([by('admin')]);
  expect(lines.join('')).not.toContain('hush');
});

test('wrong passwords are logged one by one, and once that there were too many', async () => {
  const headers = { 'x-forwarded-for': '198.51.100.7' };
  for (let n = 0; n < 5; n++) await it.ask('GET', '/', { as: 'ann:hush', headers });
  const failed = { level: 'warn', user: 'ann', address: '198.51.100.7' };
  expect(told('authentication failed')).toEqual([failed, failed, failed]);
  expect(told('too many failed authentications')).toEqual([{ ...failed, mode: 'enforce', lifetime: 60_000 }]);
  expect(lines.join('')).not.toContain('hush');
});
