import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StartError } from '../../src/config/exit.js';
import { keyReference, keys } from '../../src/config/keys.js';
import { type ConfigInput, loadConfig } from '../../src/config/load.js';
import { showConfig } from '../../src/config/show.js';
import { KEYS, pemOf } from '../auth/tokens.js';

const SECRET = KEYS['hmac:_default'];
const KEY = JSON.stringify({ 'hmac:a': SECRET });

let folder: string;
let data: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'causeway-config-'));
  data = path.join(folder, 'data');
  mkdirSync(data);
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

function yaml(text: string): string {
  const file = path.join(folder, 'causeway.yaml');
  writeFileSync(file, text);
  return file;
}

function runtime(config: object): void {
  writeFileSync(path.join(data, 'runtime.json'), JSON.stringify({ config }));
}

/** Loads with the temporary data directory, unless the input names another. */
function load({ env = {}, ...input }: ConfigInput = {}) {
  return loadConfig({ env: { CAUSEWAY_DATA: data, ...env }, ...input }).config;
}

function refusal(input: ConfigInput): readonly string[] {
  try {
    load(input);
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    expect(error.exitCode).toBe(78);
    return error.lines.map((line) => line.replace('bad configuration: ', '').replaceAll(folder, ''));
  }
  throw new Error('the configuration was not refused');
}

describe('the order of the layers', () => {
  it('begins with the defaults', () => {
    expect(loadConfig({}).config).toMatchObject({
      host: '127.0.0.1',
      port: 5984,
      data: './data',
      admins: {},
      cors: { origins: [] },
      store: { sync: true },
    });
  });

  it('lays the file over the defaults, runtime.json over it, then the environment, then the flags', () => {
    const file = yaml('port: 1\nlog: { level: warn }\nsession: { timeout: 11 }\nhost: a\n');
    runtime({ log: { level: 'error' }, session: { timeout: 22 }, host: 'b' });
    const env = { CAUSEWAY_SESSION_TIMEOUT: '33', CAUSEWAY_HOST: 'c' };
    const flags = new Map([['host', 'd']]);
    expect(load({ file, env, flags })).toMatchObject({
      port: 1,
      log: { level: 'error', requests: false },
      session: { timeout: 33 },
      host: 'd',
    });
  });

  it('takes the file from CAUSEWAY_CONFIG, but rather from the flag', () => {
    const file = yaml('port: 7\n');
    expect(load({ env: { CAUSEWAY_CONFIG: file } }).port).toBe(7);
    expect(load({ file, env: { CAUSEWAY_CONFIG: '/nowhere' } }).port).toBe(7);
  });

  it('reads runtime.json from the data directory that the layers together name', () => {
    runtime({ port: 9 });
    expect(loadConfig({ file: yaml(`data: ${data}\n`) }).config.port).toBe(9);
    expect(loadConfig({ flags: new Map([['data', data]]) }).config.port).toBe(9);
  });

  it('takes an empty file and an empty section for nothing said', () => {
    expect(load({ file: yaml('# port: 1\n') }).port).toBe(5984);
    expect(load({ file: yaml('limits:\n  # uuidsMaxCount: 5\n') }).limits.uuidsMaxCount).toBe(1000);
  });

  it('takes an empty variable for one that is not set', () => {
    expect(load({ env: { CAUSEWAY_PORT: '' } }).port).toBe(5984);
  });
});

describe('the environment and the flags', () => {
  it('reads numbers, truth values and lists', () => {
    const env = {
      CAUSEWAY_PORT: '0',
      CAUSEWAY_LOG_REQUESTS: 'true',
      CAUSEWAY_CORS_ORIGINS: 'https://a.example, http://localhost:5173',
      CAUSEWAY_LIMITS_UUIDS_MAX_COUNT: '5',
      CAUSEWAY_SECRET_FILE: '/run/secret',
    };
    expect(load({ env })).toMatchObject({
      port: 0,
      log: { requests: true },
      cors: { origins: ['https://a.example', 'http://localhost:5173'] },
      limits: { uuidsMaxCount: 5 },
      secretFile: '/run/secret',
    });
  });

  it.each([
    ['jan:apple', { jan: 'apple' }],
    ['jan:a:b:c', { jan: 'a:b:c' }],
    ['jan:apple,bo:pear', { jan: 'apple', bo: 'pear' }],
    ['jan:-pbkdf2:sha256-ab,cd,10,bo:pear', { jan: '-pbkdf2:sha256-ab,cd,10', bo: 'pear' }],
    ['bo:pear,jan:-pbkdf2-ab,cd,10', { jan: '-pbkdf2-ab,cd,10', bo: 'pear' }],
    ['jan:-hashed-ab,cd,bo:pear', { jan: '-hashed-ab,cd', bo: 'pear' }],
    ['jan:-apple', { jan: '-apple' }],
  ])('reads the admins %s', (text, admins) => {
    expect(load({ env: { CAUSEWAY_ADMINS: text } }).admins).toEqual(admins);
  });

  it('reads the keys of tokens', () => {
    const keys = {
      'hmac:_default': SECRET,
      'rsa:a:b': KEYS['rsa:r'].replaceAll('\n', '\\n'),
      'ec:c': KEYS['ec:p384'].replaceAll('\n', '\r\n').trim(),
      'eddsa:d': KEYS['eddsa:ed'].trim(),
    };
    expect(load({ env: { CAUSEWAY_JWT_KEYS: JSON.stringify(keys) } }).jwt.keys).toEqual(keys);
  });

  it('warns of secrets of tokens that are short', () => {
    const keys = { 'hmac:a': SECRET, 'hmac:b': 'aGVsbG8=' };
    const env = { CAUSEWAY_JWT_KEYS: JSON.stringify(keys), CAUSEWAY_AUTH_HANDLERS: 'jwt' };
    expect(loadConfig({ env }).warnings).toEqual([
      'the secret of jwt.keys.hmac:b has 5 bytes; with fewer than 32 it may be guessed',
    ]);
  });

  it('warns of keys and secrets that are given for nothing', () => {
    const env = { CAUSEWAY_JWT_KEYS: KEY, CAUSEWAY_PROXY_SECRET: 'sesame sesame sesame' };
    expect(loadConfig({ env }).warnings).toEqual([
      'jwt.keys count for nothing while auth.handlers does not name jwt',
      'proxy.secret counts for nothing while auth.handlers does not name proxy',
    ]);
    const handlers = { CAUSEWAY_AUTH_HANDLERS: 'jwt,proxy' };
    expect(loadConfig({ env: { ...env, ...handlers } }).warnings).toEqual([]);
  });

  it('warns of variables that are not keys', () => {
    const env = { CAUSEWAY_PROT: '1', CAUSEWAY_SERVICE_HOST: '10.0.0.1', PATH: '/bin' };
    expect(loadConfig({ env }).warnings).toEqual([
      'the environment variable CAUSEWAY_PROT is not a key of the configuration; CAUSEWAY_PORT is',
      'the environment variable CAUSEWAY_SERVICE_HOST is not a key of the configuration',
    ]);
  });
});

describe('a bad configuration is refused', () => {
  it('with the key, the value, its place and what is allowed', () => {
    expect(refusal({ env: { CAUSEWAY_PORT: 'tcp://10.0.0.1' } })).toEqual([
      'port is "tcp://10.0.0.1" (CAUSEWAY_PORT); allowed is a whole number from 0 to 65535',
    ]);
    expect(refusal({ flags: new Map([['log.level', 'loud']]) })).toEqual([
      'log.level is "loud" (--log-level); allowed is one of trace, debug, info, warn, error, fatal, silent',
    ]);
    expect(refusal({ file: yaml('store: { sync: "no" }') })).toEqual([
      'store.sync is "no" (/causeway.yaml); allowed is true or false',
    ]);
    runtime({ limits: { uuidsMaxCount: 0 } });
    expect(refusal({})).toEqual([
      'limits.uuidsMaxCount is 0 (/data/runtime.json); allowed is a whole number from 1',
    ]);
  });

  it('with one line for each thing that is wrong', () => {
    expect(refusal({ env: { CAUSEWAY_PORT: '-1', CAUSEWAY_LOG_REQUESTS: 'yes' } })).toHaveLength(2);
  });

  it('when a program gives what no file could hold', () => {
    const values = { port: 5984n, cors: { origins: [() => 'https://a.example'] } } as object;
    expect(refusal({ values })).toEqual([
      expect.stringMatching(/^port is "a bigint" \(the given configuration\); allowed is a whole number/),
      expect.stringMatching(
        /^cors\.origins\.0 is "a function" \(the given configuration\); allowed is a list/,
      ),
    ]);
  });

  it('when a CORS origin is a URL with a path', () => {
    expect(refusal({ env: { CAUSEWAY_CORS_ORIGINS: '*,https://a.example/app' } })).toEqual([
      expect.stringMatching(
        /^cors\.origins\.1 is "https:\/\/a\.example\/app" \(CAUSEWAY_CORS_ORIGINS\); allowed is a list/,
      ),
    ]);
  });

  it('without showing passwords', () => {
    for (const input of [
      { env: { CAUSEWAY_ADMINS: 'sesame' } },
      { env: { CAUSEWAY_ADMINS: '_jan:sesame' } },
      { env: { CAUSEWAY_ADMINS: 'jan:a,sesame' } },
      { file: yaml('admins: { jan: { password: sesame } }') },
      { file: yaml('admins: sesame') },
      { env: { CAUSEWAY_PROXY_SECRET: 'sesame' } },
      { env: { CAUSEWAY_JWT_KEYS: 'sesame' } },
      { env: { CAUSEWAY_JWT_KEYS: '{"hmac:_default":"sesame' } },
      { file: yaml('admins: { jan: sesame\n') },
    ])
      expect(refusal(input).join()).not.toContain('sesame');
  });

  it.each([
    ['hmac:_default', 'not Base64: sesame'],
    ['hmac:_default', 'c2VzYW1l='],
    ['hmac:_default', ''],
    ['hmac:', 'c2VzYW1l'],
    ['secret', 'c2VzYW1l'],
    ['des:_default', 'c2VzYW1l'],
    ['rsa:_default', 'c2VzYW1l'],
    ['rsa:_default', '-----BEGIN PUBLIC KEY-----\nc2VzYW1l\n-----END PUBLIC KEY-----\n'],
    ['rsa:_default', KEYS['ec:p256']],
    ['ec:_default', KEYS['eddsa:ed']],
    ['eddsa:_default', KEYS['rsa:r']],
    ['rsa:_default', pemOf(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey)],
    ['ec:_default', pemOf(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey)],
    ['eddsa:_default', generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' })],
  ])('when a key of tokens is none: %s %#', (name, text) => {
    const file = yaml(JSON.stringify({ jwt: { keys: Object.fromEntries([[name, text]]) } }));
    const [line = '', ...more] = refusal({ file });
    expect(more).toEqual([]);
    expect(line).toContain(
      `jwt.keys.${name} is a value that is not shown (/causeway.yaml); allowed is names`,
    );
  });

  it('when it switches on a way to log in without a key or a secret', () => {
    const allowed =
      'a list of cookie, default, jwt (which needs jwt.keys) and proxy (which needs proxy.secret)';
    for (const handler of ['jwt', 'proxy'])
      expect(refusal({ env: { CAUSEWAY_AUTH_HANDLERS: `${handler},default` } })).toEqual([
        `auth.handlers is ["${handler}","default"] (CAUSEWAY_AUTH_HANDLERS); allowed is ${allowed}`,
      ]);
    expect(refusal({ env: { CAUSEWAY_AUTH_HANDLERS: 'ldap' } })).toHaveLength(1);
    expect(refusal({ file: yaml('auth: { handlers: [] }') })).toHaveLength(1);
  });

  it('when it purges what may still be undone, or what nobody will know the age of', () => {
    const given = (days: number, journal = '{}'): string =>
      yaml(`{ conflicts: { purgeResolvedAfter: ${String(days)} }, journal: ${journal} }`);
    const allowed =
      'a number from journal.minAge to journal.maxAge: only the journal tells how old a merge is';
    for (const days of [29, 366])
      expect(refusal({ file: given(days) })).toEqual([
        `conflicts.purgeResolvedAfter is ${String(days)} (/causeway.yaml); allowed is ${allowed}`,
      ]);
    for (const file of [given(30), given(365), given(0.5, '{ minAge: 0 }')])
      expect(load({ file }).conflicts.purgeResolvedAfter).toBeDefined();
  });

  it.each([
    ['prot: 1', 'prot', 'did you mean port?'],
    ['limits: { uuids_max_count: 1 }', 'limits.uuids_max_count', 'did you mean limits.uuidsMaxCount?'],
    ['cors: { origin: [] }', 'cors.origin', 'did you mean cors.origins?'],
    ['logLevel: info', 'logLevel', 'did you mean log.level?'],
    ['secretFile: a\nwibble: 1', 'wibble', '`causeway config --docs` names all keys'],
    ['__proto__: { port: 1 }', '__proto__', '`causeway config --docs` names all keys'],
  ])('when it has an unknown key: %s', (text, name, hint) => {
    expect(refusal({ file: yaml(text) })).toEqual([`${name} (/causeway.yaml) is not a key; ${hint}`]);
  });

  it('when a section is no section', () => {
    expect(refusal({ file: yaml('session: 600') })).toEqual([
      'session (/causeway.yaml) has to hold keys with values; allowed are timeout, persistent, sameSite, domain',
    ]);
    expect(refusal({ file: yaml('- port') })).toEqual(['/causeway.yaml has to hold keys with values']);
  });

  it('when a file cannot be read or is damaged', () => {
    expect(refusal({ file: '/nowhere.yaml' })).toEqual([
      expect.stringContaining('/nowhere.yaml cannot be read'),
    ]);
    expect(refusal({ file: yaml('port: [1') })).toEqual([
      expect.stringMatching(/^\/causeway\.yaml is not valid YAML: .* at line 1, column \d+$/),
    ]);
    writeFileSync(path.join(data, 'runtime.json'), '{');
    expect(refusal({})).toEqual(['/data/runtime.json is not valid JSON']);
    writeFileSync(path.join(data, 'runtime.json'), '{"port":1}');
    const shape = [
      '/data/runtime.json may hold only "config", "couchdb" and "passwordHashes", as the server wrote them',
    ];
    expect(refusal({})).toEqual(shape);
    writeFileSync(path.join(data, 'runtime.json'), '{"couchdb":{"cors":{"origins":["*"]}}}');
    expect(refusal({})).toEqual(shape);
  });

  it('runtime.json of a data directory of a newer format, whose keys are not known here', () => {
    runtime({ tls: {} });
    const uuid = '0'.repeat(32);
    writeFileSync(path.join(data, 'server.json'), JSON.stringify({ format: 2, uuid }));
    expect(() => load()).toThrow(expect.objectContaining({ exitCode: 65 }) as StartError);
  });

  it('when runtime.json would move the directory in which it lies', () => {
    runtime({ data: '/elsewhere' });
    expect(refusal({})).toHaveLength(1);
  });
});

describe('the keys', () => {
  it('all have a sentence, what is allowed, and a name of their own in each place', () => {
    for (const key of keys) {
      expect(key.doc, key.name).toMatch(/^[A-Z].*\.$/);
      expect(key.allowed, key.name).not.toBe('');
    }
    for (const names of [keys.map((key) => key.env), keys.flatMap((key) => key.flag ?? [])])
      expect(new Set(names).size).toBe(names.length);
  });

  it('have a default, but for those that have none', () => {
    expect(
      keyReference()
        .filter((key) => key.default === '')
        .map((key) => key.key),
    ).toEqual([
      'admins',
      'secretFile',
      'session.sameSite',
      'session.domain',
      'balancing.name',
      'auth.wwwAuthenticate',
      'jwt.keys',
      'jwt.rolesClaimPath',
      'proxy.secret',
      'users.publicFields',
      'cors.origins',
      'cors.credentials',
      'cors.hosts',
      'limits.maxDocumentIdLength',
      'replication.origins',
      'replication.caFile',
      'upstream.url',
      'upstream.username',
      'upstream.password',
      'upstream.passwordFile',
      'upstream.caFile',
      'upstream.proxySecretFile',
      'databases',
      'conflicts.purgeResolvedAfter',
    ]);
  });
});

it('gives secrets no flag, which all on the machine would see', () => {
  const secrets = keys.filter(({ secret }) => secret);
  expect(secrets.map(({ name, flag }) => [name, flag])).toEqual([
    ['admins', undefined],
    ['jwt.keys', undefined],
    ['proxy.secret', undefined],
    ['upstream.password', undefined],
  ]);
});

describe('the configuration as it is shown', () => {
  it('hides keys and secrets', () => {
    const env = { CAUSEWAY_JWT_KEYS: KEY, CAUSEWAY_PROXY_SECRET: 'sesame sesame sesame' };
    const shown = showConfig(load({ env }));
    expect(shown).not.toContain('sesame');
    expect(shown).not.toContain(SECRET);
    expect(shown).toMatch(/keys:\n +hmac:a: "\*\*\*"/);
  });

  it('hides passwords, and can be read again', () => {
    const config = load({ env: { CAUSEWAY_ADMINS: 'jan:sesame', CAUSEWAY_PORT: '1' } });
    const shown = showConfig(config);
    expect(shown).not.toContain('sesame');
    expect(load({ file: yaml(shown), env: {} })).toEqual({ ...config, admins: { jan: '***' } });
  });

  it('tells what each key means when asked', () => {
    const shown = showConfig(load(), { docs: true });
    const unset = [
      'secretFile',
      'session.sameSite',
      'session.domain',
      'balancing.name',
      'auth.wwwAuthenticate',
      'jwt.rolesClaimPath',
      'proxy.secret',
      'cors.credentials',
      'limits.maxDocumentIdLength',
      'replication.origins',
      'replication.caFile',
      'upstream.url',
      'upstream.username',
      'upstream.password',
      'upstream.passwordFile',
      'upstream.caFile',
      'upstream.proxySecretFile',
      'conflicts.purgeResolvedAfter',
    ];
    for (const key of keys.filter(({ name }) => !unset.includes(name)))
      expect(shown).toContain(`# ${key.doc}\n`);
  });
});
