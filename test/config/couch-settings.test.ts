import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PasswordHasher } from '../../src/config/admins.js';
import { CouchSettings } from '../../src/config/couch-settings.js';
import { couchKeys, couchTexts, valuesOf } from '../../src/config/couchdb.js';
import { loadConfig } from '../../src/config/load.js';
import { type Config, configSchema } from '../../src/config/schema.js';
import { Settings } from '../../src/config/settings.js';

let data: string;
let file: string;
beforeEach(async () => {
  data = await mkdtemp(path.join(tmpdir(), 'causeway-config-'));
  file = path.join(data, 'causeway.yaml');
});
afterEach(() => rm(data, { recursive: true }));

const hasher: PasswordHasher = {
  hash: (clear, { iterations }) =>
    Promise.resolve(`-hashed-${clear},salt${iterations === 600_000 ? '' : String(iterations)}`),
  verify: (clear, hashed) => Promise.resolve(hashed.startsWith(`-hashed-${clear},`)),
  isHashed: (text) => text.startsWith('-hashed-'),
  isKnown: () => true,
};

const env = (more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({ CAUSEWAY_DATA: data, ...more });

/** A server's configuration with this file, DATA/runtime.json and environment. */
async function start(yaml: string, runtime: object = {}, more: NodeJS.ProcessEnv = {}) {
  await writeFile(file, yaml);
  await writeFile(path.join(data, 'runtime.json'), JSON.stringify(runtime));
  const settings = await Settings.open({ file, env: env(more) }, data, hasher);
  const couch = new CouchSettings(settings, new Map());
  return {
    settings,
    couch,
    set: (section: string, name: string, text: string) =>
      couch.set(section, name, () => Promise.resolve(text), true),
    /** What the next start would take. */
    next: (): Config => loadConfig({ file, env: env(more) }).config,
  };
}

const byFile = (at: string) => ({
  status: 403,
  reason: expect.stringContaining(`${at} is given by ${file}`) as string,
});

describe('the file', () => {
  it('counts for less than what is set, and again once that is deleted', async () => {
    const { settings, couch, set, next } = await start('cors: { maxAge: 5 }');
    expect(couch.get('cors', 'max_age')).toBe('5');
    expect(await set('cors', 'max_age', '7')).toBe('5');
    expect([settings.config.cors.maxAge, next().cors.maxAge]).toEqual([7, 7]);
    expect(await couch.delete('cors', 'max_age', true)).toBe('7');
    expect([settings.config.cors.maxAge, next().cors.maxAge, couch.get('cors', 'max_age')]).toEqual([
      5,
      5,
      '5',
    ]);
    await expect(couch.delete('cors', 'max_age', true)).rejects.toMatchObject(byFile('cors/max_age'));
  });

  it('counts no more where an empty text is set, which is what is shown', async () => {
    const yaml = 'cors: { origins: [https://a.example], maxAge: 5 }\nusers: { publicFields: [phone] }';
    const { settings, couch, set, next } = await start(yaml);
    for (const at of ['cors/origins', 'cors/max_age', 'chttpd_auth/public_fields']) {
      const [section = '', name = ''] = at.split('/');
      await set(section, name, '');
      expect(couch.get(section, name)).toBe('');
    }
    for (const { cors, users } of [settings.config, next()])
      expect([cors.origins, cors.maxAge, users.publicFields]).toEqual([[], 600, []]);
    await couch.delete('cors', 'origins', true);
    expect(settings.config.cors.origins).toEqual(['https://a.example']);
  });

  it('is read again, or nothing changes where it is wrong', async () => {
    const { settings } = await start('cors: { maxAge: 5 }');
    const seen: number[] = [];
    settings.onChange(({ cors }) => seen.push(cors.maxAge));
    await writeFile(file, 'cors: { maxAge: 6 }\nadmins: { jan: apple }\n');
    await settings.reload();
    expect(settings.config.admins).toEqual({ jan: '-hashed-apple,salt' });
    await writeFile(file, 'cors: { maxAge: -1 }');
    await expect(settings.reload()).rejects.toThrow('cors.maxAge is -1');
    expect([settings.config.cors.maxAge, seen]).toEqual([6, [6]]);
  });

  it('gives admins whose passwords can be changed over HTTP, but who cannot be deleted there', async () => {
    const { settings, couch, set, next } = await start('admins: { jan: apple, bo: pear }');
    expect(settings.config.admins).toEqual({ jan: '-hashed-apple,salt', bo: '-hashed-pear,salt' });
    expect(await set('admins', 'jan', 'plum')).toBe('-hashed-apple,salt');
    expect(settings.config.admins.jan).toBe('-hashed-plum,salt');
    expect(next().admins.jan).toBe('-hashed-plum,salt');
    await couch.delete('admins', 'jan', true);
    expect(settings.config.admins.jan).toBe('-hashed-apple,salt');
    await expect(couch.delete('admins', 'jan', true)).rejects.toMatchObject(byFile('admins/jan'));
  });
});

describe('a password in clear text that another one hid at the start', () => {
  it('is hashed when it counts again', async () => {
    const hidden = { couchdb: { admins: { jan: '-hashed-plum,salt' } } };
    const { settings, couch } = await start('admins: { jan: apple }', hidden);
    await couch.delete('admins', 'jan', true);
    expect(settings.config.admins).toEqual({ jan: '-hashed-apple,salt' });
    expect(JSON.parse(await readFile(path.join(data, 'runtime.json'), 'utf8'))).toMatchObject({
      couchdb: {},
      passwordHashes: { jan: '-hashed-apple,salt' },
    });
  });
});

describe('an admin that the server made', () => {
  it('stays while others are set, and is gone once it is deleted', async () => {
    const { settings, couch, set } = await start('');
    const { admin } = settings.config.admins;
    await set('admins', 'bo', 'pear');
    expect(settings.config.admins).toEqual({ admin, bo: '-hashed-pear,salt' });
    await set('admins', 'admin', 'plum');
    await couch.delete('admins', 'admin', true);
    expect(settings.config.admins).toEqual({ bo: '-hashed-pear,salt' });
    await settings.reload();
    expect(settings.config.admins).toEqual({ bo: '-hashed-pear,salt' });
  });

  it('stays, too, while one is set until the next start only, but not once it is deleted', async () => {
    const { settings, couch, set, next } = await start('');
    const { admin } = settings.config.admins;
    await couch.set('admins', 'jo', () => Promise.resolve('plum'), false);
    await set('admins', 'bo', 'pear');
    expect(next().admins).toEqual({ admin, bo: '-hashed-pear,salt' });
    await couch.delete('admins', 'admin', true);
    await couch.delete('admins', 'bo', true);
    await set('admins', 'cy', 'fig');
    expect(next().admins).toEqual({ cy: '-hashed-fig,salt' });
    expect(Object.keys(settings.config.admins).toSorted()).toEqual(['cy', 'jo']);
  });
});

describe('an admin', () => {
  it('may have any name that an object has by itself', async () => {
    const { couch, set } = await start('admins: {}');
    await set('admins', 'constructor', 'pear');
    await couch.delete('admins', 'admin', true);
    await expect(couch.delete('admins', 'constructor', true)).rejects.toMatchObject({
      reason: 'The last server admin cannot be deleted.',
    });
  });

  it('gets a password that is hashed as the configuration says', async () => {
    const { settings, set } = await start('passwords: { iterations: 7 }\nadmins: { jan: apple }');
    await set('admins', 'bo', 'pear');
    await set('chttpd_auth', 'iterations', '8');
    await set('admins', 'cy', 'fig');
    expect(settings.config.admins).toEqual({
      jan: '-hashed-apple,salt7',
      bo: '-hashed-pear,salt7',
      cy: '-hashed-fig,salt8',
    });
  });
});

describe('rules of CORS for one host', () => {
  it('are shown, set and deleted under CouchDB’s names, wherever they are given', async () => {
    const { settings, couch, set, next } = await start(
      'cors: { hosts: { one.example: { origins: [https://a.example] } } }',
    );
    expect(couch.section('cors:one.example')).toEqual(new Map([['origins', 'https://a.example']]));
    await set('cors:one.example', 'origins', 'https://b.example,https://c.example');
    await set('cors:one.example', 'max_age', '7');
    const set1 = { origins: ['https://b.example', 'https://c.example'], maxAge: 7 };
    expect(settings.config.cors.hosts).toEqual({ 'one.example': set1 });
    expect(next().cors.hosts).toEqual({ 'one.example': set1 });
    await expect(set('cors:one.example', 'max_age', 'long')).rejects.toMatchObject({
      status: 400,
      reason: 'Invalid configuration value; allowed is a whole number from 0 to 86400',
    });
    await couch.delete('cors:one.example', 'max_age', true);
    await couch.delete('cors:one.example', 'origins', true);
    expect(next().cors.hosts).toEqual({ 'one.example': { origins: ['https://a.example'] } });
    await expect(couch.delete('cors:one.example', 'origins', true)).rejects.toMatchObject(
      byFile('cors:one.example/origins'),
    );
  });

  it('count for more where the environment gives them, as JSON', async () => {
    const hosts = '{"one.example":{"origins":["https://a.example"]}}';
    const { settings, set } = await start('', {}, { CAUSEWAY_CORS_HOSTS: hosts });
    expect(settings.config.cors.hosts).toEqual({ 'one.example': { origins: ['https://a.example'] } });
    await expect(set('cors:one.example', 'origins', '*')).rejects.toMatchObject({
      status: 403,
      reason: expect.stringContaining('given by CAUSEWAY_CORS_HOSTS,') as string,
    });
    await expect(start('', {}, { CAUSEWAY_CORS_HOSTS: 'one.example' })).rejects.toThrow(
      'allowed is names of hosts, each with any of origins,',
    );
  });
});

describe('the environment', () => {
  it('counts for more than anything that could be set', async () => {
    const { couch, set } = await start(
      '',
      {},
      { CAUSEWAY_CORS_ORIGINS: 'https://a.example, https://b.example' },
    );
    expect(couch.get('cors', 'origins')).toBe('https://a.example,https://b.example');
    const refusal = {
      status: 403,
      reason: expect.stringContaining('given by CAUSEWAY_CORS_ORIGINS,') as string,
    };
    await expect(set('cors', 'origins', '*')).rejects.toMatchObject(refusal);
    await expect(couch.delete('cors', 'origins', true)).rejects.toMatchObject(refusal);
    expect(await readFile(path.join(data, 'runtime.json'), 'utf8')).not.toContain('origins');
  });

  it('gives admins who are changed there alone, beside others', async () => {
    const { settings, couch, set } = await start('', {}, { CAUSEWAY_ADMINS: 'jan:apple' });
    await expect(set('admins', 'jan', 'plum')).rejects.toMatchObject({ status: 403 });
    await set('admins', 'bo', 'pear');
    expect(settings.config.admins).toEqual({ jan: '-hashed-apple,salt', bo: '-hashed-pear,salt' });
    await expect(couch.delete('admins', 'jan', true)).rejects.toMatchObject({ status: 403 });
    await couch.delete('admins', 'bo', true);
    expect(settings.config.admins).toEqual({ jan: '-hashed-apple,salt' });
  });
});

describe('what DATA/runtime.json has under our own names', () => {
  const runtime = {
    config: { admins: { jo: '-hashed-x,y' }, cors: { origins: ['https://a.example'], maxAge: 5 } },
  };

  it('is shown, set and deleted like the rest', async () => {
    const { settings, couch, set } = await start('', runtime);
    expect(couch.get('cors', 'origins')).toBe('https://a.example');
    expect(await set('cors', 'max_age', '6')).toBe('5');
    expect(await couch.delete('cors', 'max_age', true)).toBe('6');
    await couch.delete('cors', 'origins', true);
    expect(settings.config.cors).toMatchObject({ origins: [], maxAge: 600 });
    await set('admins', 'bo', 'pear');
    await couch.delete('admins', 'jo', true);
    expect(settings.config.admins).toEqual({ bo: '-hashed-pear,salt' });
  });
});

it('shows no secrets and paths that somebody has put into DATA/runtime.json', async () => {
  const couchdb = {
    chttpd_auth: { secret: 'x', timeout: '5' },
    query_servers: { sh: '/bin/sh' },
    log: { file: '/x' },
  };
  const { couch } = await start('', { couchdb });
  expect([...couch.sections().keys()]).toEqual(['chttpd_auth', 'admins']);
  expect(couch.section('chttpd_auth')).toEqual(new Map([['timeout', '5']]));
});

it('lets nobody set more than a thousand texts', async () => {
  const own = Object.fromEntries(Array.from({ length: 1000 }, (_, n) => [`k${String(n)}`, '']));
  const { couch, set } = await start('', { couchdb: { own } });
  await expect(set('other', 'k', '')).rejects.toMatchObject({ status: 413 });
  await set('own', 'k1', 'v');
  await couch.delete('own', 'k0', true);
  await set('other', 'k', '');
});

describe('the keys of CouchDB', () => {
  /** Texts for those that have no default, or a default that says nothing. */
  const TEXTS: Readonly<Record<string, string>> = {
    'couchdb/max_document_id_length': '200',
    'cors/origins': 'https://a.example,app://obsidian.md',
    'cors/credentials': 'true',
    'chttpd/WWW-Authenticate': 'Basic realm="notes"',
    'jwt_auth/roles_claim_path': 'access.my\\.app.roles',
    'chttpd_auth/same_site': 'Lax',
    'chttpd_auth/cookie_domain': 'example.org',
    'chttpd_auth/public_fields': 'name,colour',
  };

  it.each(couchKeys)('are read and written: $section/$name', ({ section, name, key }) => {
    const given = key.default === undefined ? '' : String(key.default);
    const text = TEXTS[`${section}/${name}`] ?? given;
    const values = valuesOf(new Map([[section, new Map([[name, text]])]]));
    expect(configSchema.safeParse(values).error).toBeUndefined();
    expect([...couchTexts(values)]).toEqual([[section, name, text === 'Lax' ? 'lax' : text]]);
  });

  it.each([
    [
      'couchdb',
      'max_attachment_size',
      'infinity',
      { limits: { maxAttachmentSize: Number.MAX_SAFE_INTEGER } },
    ],
    ['log', 'level', 'notice', { log: { level: 'info' } }],
    ['log', 'level', 'none', { log: { level: 'silent' } }],
    ['couch_httpd_auth', 'timeout', '5', { session: { timeout: 5 } }],
    ['cors', 'methods', 'GET, PUT', { cors: { methods: ['GET', 'PUT'] } }],
    ['cors', 'methods', '', { cors: { methods: [] } }],
    ['cors', 'max_age', '', { cors: {} }],
    ['cors:one.example', 'max_age', '5', { cors: { hosts: { 'one.example': { maxAge: 5 } } } }],
    ['cors:one.example', 'origins', '', { cors: { hosts: { 'one.example': { origins: [] } } } }],
    ['cors:one.example', 'max_age', '', {}],
    ['cors:one.example', 'enable_cors', 'true', {}],
    ['chttpd', 'timeout', '5', {}],
  ])('mean here what they mean there: %s/%s = %j', (section, name, text, values) => {
    expect(valuesOf(new Map([[section, new Map([[name, text]])]]))).toEqual(values);
  });
});
