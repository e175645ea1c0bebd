import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import net, { type AddressInfo } from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { loadConfig } from '../../src/config/load.js';
import type { ConfigValues } from '../../src/config/schema.js';
import { startUsers, type Users } from '../auth/users/gateway.js';
import { temporaryFolder } from '../support/server.js';
import { linkOf, SECRET, TRUSTING } from '../upstream/pair.js';
import { until } from './support/wait.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const folder = path.join(root, 'couchdb');
const read = (name: string): string => readFileSync(path.join(folder, name), 'utf8');
const yaml = (name: string): unknown => parse(read(name), { merge: true });

const temporary: string[] = [];
async function newFolder(): Promise<string> {
  const made = await temporaryFolder();
  temporary.push(made);
  return made;
}
async function fileWith(text: string, name = 'file'): Promise<string> {
  const file = path.join(await newFolder(), name);
  await writeFile(file, text);
  return file;
}
afterAll(async () => {
  for (const made of temporary) await rm(made, { recursive: true, force: true });
});

/** Sections of an ini, as CouchDB reads it. */
function sections(text: string): Map<string, Map<string, string>> {
  const found = new Map<string, Map<string, string>>();
  let section = new Map<string, string>();
  for (const line of text.split('\n').map((one) => one.trim())) {
    const [, name] = /^\[(\w+)\]$/.exec(line) ?? [];
    if (name !== undefined) found.set(name, (section = new Map<string, string>()));
    else if (line !== '' && !line.startsWith(';')) {
      const [, key, value] = /^(\w+) = (.+)$/.exec(line) ?? [];
      if (key === undefined || value === undefined) throw new Error(`not of an ini: ${line}`);
      section.set(key, value);
    }
  }
  return found;
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly secrets: Readonly<Record<string, { readonly environment: string }>>;
  readonly volumes: object;
}
interface Service {
  readonly image: string;
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes?: readonly string[];
  readonly secrets?: readonly string[];
  readonly command?: readonly string[];
}

describe.each(['compose.yaml', 'cluster/compose.yaml'])('couchdb/%s', (name) => {
  const { services, secrets, volumes } = yaml(name) as Compose;

  test('names files, volumes and secrets that are there', () => {
    for (const { volumes: mounted = [], secrets: used = [] } of Object.values(services)) {
      for (const mount of mounted) {
        const [source = ''] = mount.split(':');
        if (source.startsWith('.'))
          expect(existsSync(path.join(folder, path.dirname(name), source)), source).toBe(true);
        else expect(Object.keys(volumes)).toContain(source);
      }
      for (const secret of used) expect(Object.keys(secrets)).toContain(secret);
    }
  });

  test('holds no password, and names every variable in the README', () => {
    const variables = [...read(name).matchAll(/\$\{(\w+):\?\}|environment: (\w+)/g)].map(
      ([, a, b]) => a ?? b ?? '',
    );
    expect(new Set(variables).size).toBeGreaterThan(2);
    for (const variable of variables) expect(read('README.md')).toContain(`${variable}=`);
    for (const { environment = {} } of Object.values(services))
      for (const [key, value] of Object.entries(environment))
        if (/PASSWORD|SECRET|COOKIE/.test(key)) expect(value).toMatch(/^\$\{\w+:\?\}$/);
  });

  test('gives the gateway a configuration that it takes, with the files that this names', () => {
    const gateways = Object.values(services).filter(({ image }) => image.startsWith('node:'));
    expect(gateways.length).toBeGreaterThan(0);
    for (const { volumes: mounted = [], secrets: used = [], command = [], environment = {} } of gateways) {
      expect(existsSync(path.join(root, 'src/main.ts')) && command[1]).toBe('/opt/causeway/dist/main.js');
      const at = command.at(-1) ?? '';
      const [source = ''] = mounted.find((mount) => mount.split(':')[1] === at)?.split(':') ?? [];
      const file = path.join(folder, path.dirname(name), source);
      const { config } = loadConfig({ file, env: { ...environment } });
      expect(mounted.map((mount) => mount.split(':')[1])).toContain(config.data);
      const { passwordFile = '', proxySecretFile = '' } = config.upstream;
      for (const needed of [passwordFile, proxySecretFile, config.secretFile ?? passwordFile])
        expect(used.map((secret) => `/run/secrets/${secret}`)).toContain(needed);
    }
  });
});

describe.each(['couchdb.ini', 'cluster/node.ini'])('couchdb/%s', (name) => {
  const ini = sections(read(name));

  test('lets the gateway say who asks, and nobody else', () => {
    expect(ini.get('chttpd_auth')?.get('proxy_use_secret')).toBe('true');
    expect(ini.get('chttpd')?.get('authentication_handlers')).toMatch(
      /^\{chttpd_auth, proxy_authentication_handler\}, /,
    );
    expect([...ini.values()].some((section) => section.has('secret') || section.has('password'))).toBe(false);
  });

  test('locks accounts out no earlier than the gateway stops showing passwords', () => {
    const { config } = loadConfig({ values: {} });
    expect(Number(ini.get('chttpd_auth_lockout')?.get('threshold'))).toBeGreaterThanOrEqual(
      config.lockout.threshold,
    );
  });
});

/** The examples with what is elsewhere on this machine. */
async function asHere(name: string, url: string): Promise<ConfigValues> {
  const example = yaml(name) as ConfigValues & { upstream: object };
  const [passwordFile, proxySecretFile] = [await fileWith('way\n'), await fileWith(`${SECRET}\n`)];
  return {
    ...example,
    host: '127.0.0.1',
    port: 0,
    data: await newFolder(),
    ...(example.secretFile !== undefined && { secretFile: await fileWith('of both gateways') }),
    upstream: { ...example.upstream, url, passwordFile, proxySecretFile, firstRetry: 50 },
  };
}

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function setUp(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ran> {
  const child = spawn(process.execPath, [path.join(root, 'scripts/setup-upstream'), ...args], {
    env: { ...process.env, COUCHDB_PASSWORD: 'secret', CAUSEWAY_UPSTREAM_PASSWORD: 'way', ...env },
  });
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (part: string) => (texts[name] += part));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...texts };
}

describe('the upstream', () => {
  let back: Users;
  let url: string;
  beforeAll(async () => {
    back = await startUsers(TRUSTING);
    url = back.gateway.url.replace('//', '//admin@');
  });
  afterAll(() => back.stop());

  const linkWith = async (front: Users): Promise<string> => {
    const { state } = await until('a link', async () => {
      const link = await linkOf(front);
      return link.state !== 'connecting' && link;
    });
    return state;
  };

  test('is made ready by setup-upstream, for a gateway with couchdb/causeway.yaml', async () => {
    const secretFile = await fileWith(`${SECRET}\n`);
    const args = [url, '--level', 'server-admin', '--proxy-secret-file', secretFile];
    const first = await setUp(args);
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(first.stdout).toContain('server admin causeway: made');
    expect(first.stdout).toContain(`proxySecretFile: ${secretFile}`);
    expect((await setUp(args)).stdout).toContain('server admin causeway: is there');
    const front = await startUsers(await asHere('causeway.yaml', back.gateway.url));
    onTestFinished(() => front.stop());
    expect(await linkWith(front)).toBe('online');
    await back.put('mia', { password: 'pear', roles: ['crew'] });
    expect(await front.whoIs('mia:pear')).toEqual(['crew']);
    await back.ask('PUT', '/archive-1');
    await back.ask('PUT', '/archive-1/_security', { json: { members: { roles: ['crew'] } } });
    const json = { name: 'mia', password: 'pear' };
    const [cookie = ''] =
      (await front.ask('POST', '/_session', { as: null, json })).headers['set-cookie'] ?? [];
    const made = await front.ask('PUT', '/archive-1/doc', { as: null, json: {}, headers: { cookie } });
    expect(made.status).toBe(201);
    expect((await front.ask('PUT', '/scratch-1')).status).toBe(201);
    expect((await back.ask('GET', '/scratch-1')).status).toBe(404);
  });

  test('lets an account of the level member, or database-admin, into databases, and shuts nobody out', async () => {
    await back.ask('PUT', '/open');
    await back.ask('PUT', '/open/_security', { json: {} });
    await back.ask('PUT', '/crew');
    await back.ask('PUT', '/crew/_security', { json: { members: { names: ['mia'] }, other: 1 } });
    const account = ['--account', 'gate', '--database', 'open', 'crew', 'new'];
    expect(await setUp([url, ...account])).toMatchObject({ code: 0, stderr: '' });
    const may = async (method: string, where: string): Promise<number> =>
      (await back.ask(method, where, { as: 'gate:way', json: {} })).status;
    expect(await Promise.all(['open', 'crew', 'new'].map((name) => may('PUT', `/${name}/doc`)))).toEqual([
      201, 201, 201,
    ]);
    expect(await may('PUT', '/crew/_design/app')).toBe(403);
    expect((await back.ask('GET', '/crew/_security')).body).toEqual({
      members: { names: ['mia'], roles: ['causeway-gateway'] },
      other: 1,
    });
    expect((await back.ask('GET', '/open/doc', { as: null })).status).toBe(200);
    expect(await setUp([url, ...account, '--level', 'database-admin'])).toMatchObject({ code: 0 });
    expect(await may('PUT', '/crew/_design/app')).toBe(201);
    expect(await may('PUT', '/another')).toBe(401);
    // Another password takes the place of the old one.
    expect(await setUp([url, ...account], { CAUSEWAY_UPSTREAM_PASSWORD: 'new' })).toMatchObject({ code: 0 });
    expect(await back.whoIs('gate:way')).toBe(401);
    expect(await back.whoIs('gate:new')).toEqual(['causeway-gateway']);
  });

  test('gets no advice on a secret that it does not ask for, or another one', async () => {
    const plain = await startUsers();
    onTestFinished(() => plain.stop());
    const secretFile = await fileWith(`${SECRET}\n`);
    const refused = await setUp([
      plain.gateway.url.replace('//', '//admin@'),
      '--proxy-secret-file',
      secretFile,
    ]);
    expect([refused.code, refused.stdout]).toEqual([77, expect.not.stringContaining('proxySecretFile')]);
    const other = await setUp([url, '--account', 'gate2', '--proxy-secret-file', await fileWith('other')]);
    expect([other.code, other.stderr]).toEqual([77, expect.stringContaining('does not take tokens')]);
  });

  test('is not set up with a password on the command line, or a wrong one', async () => {
    const seen = await setUp([url.replace('admin@', 'admin:secret@')]);
    expect([seen.code, seen.stderr]).toEqual([64, expect.stringContaining('can be seen')]);
    const wrong = await setUp([url], { COUCHDB_PASSWORD: 'wrong-one' });
    expect(wrong.code).toBe(77);
    expect(`${wrong.stdout}${wrong.stderr}`).not.toContain('wrong-one');
  });
});

const isBalanced = process.env.CI === 'true' || spawnSync('haproxy', ['-v']).status === 0;

describe.runIf(isBalanced)('couchdb/cluster/haproxy.cfg', () => {
  const servers: { stop(): Promise<void> }[] = [];
  afterAll(async () => {
    for (const server of servers) await server.stop();
  });

  test('keeps clients on one gateway, and the other refuses their first request when it fails', async () => {
    const settings = await asHere('cluster/gateway.yaml', 'http://127.0.0.1:9');
    const gateways = await Promise.all(
      ['gateway-1', 'gateway-2'].map(async (name) =>
        startUsers({
          ...settings,
          data: await newFolder(),
          balancing: { name },
          databases: [{ match: '*', mode: 'local' }],
        }),
      ),
    );
    servers.push(...gateways);
    const [port, upstreamPort] = [await freePort(), await freePort()];
    const text = read('cluster/haproxy.cfg')
      .replace('bind :5984', `bind 127.0.0.1:${port}`)
      .replace('bind :5985', `bind 127.0.0.1:${upstreamPort}`)
      .replaceAll('inter 2s', 'inter 100ms');
    const balancer = spawn('haproxy', ['-f', await fileWith(text, 'haproxy.cfg')], {
      stdio: 'ignore',
      env: {
        ...process.env,
        GATEWAY_1: `127.0.0.1:${gateways[0]?.port}`,
        GATEWAY_2: `127.0.0.1:${gateways[1]?.port}`,
      },
    });
    servers.push({ stop: () => ended(balancer) });
    const ask = async (cookie?: string) => {
      const response = await fetch(`http://127.0.0.1:${port}/`, {
        headers: cookie === undefined ? {} : { cookie },
      });
      const { uuid } = (await response.json()) as { uuid?: string };
      return { status: response.status, cookies: response.headers.getSetCookie(), uuid };
    };
    const first = await until('a gateway', async () => {
      const answer = await ask().catch(() => undefined);
      return answer?.status === 200 && answer;
    });
    expect(first.cookies).toEqual([
      expect.stringMatching(/^CausewayGateway=gateway-[12]; Path=\/; HttpOnly$/),
    ]);
    for (const name of ['gateway-1', 'gateway-2']) {
      const answers = await Promise.all(Array.from({ length: 4 }, () => ask(`CausewayGateway=${name}`)));
      for (const { status, cookies, uuid } of answers) {
        expect([status, cookies]).toEqual([200, []]);
        expect(uuid === first.uuid).toBe(first.cookies[0]?.includes(name));
      }
    }
    await gateways[0]?.gateway.close();
    const moved = await until('the move', async () => {
      const answer = await ask('other=1; CausewayGateway=gateway-1').catch(() => undefined);
      return answer !== undefined && answer.cookies.length > 0 && answer;
    });
    expect(moved).toEqual({
      status: 503,
      cookies: ['CausewayGateway=gateway-2; Path=/; HttpOnly'],
      uuid: undefined,
    });
    expect(await ask('CausewayGateway=gateway-2')).toMatchObject({ status: 200, cookies: [] });
  });
});

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  child.kill();
  await once(child, 'exit');
}

async function freePort(): Promise<number> {
  const taken = net.createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as AddressInfo;
  taken.close();
  await once(taken, 'close');
  return port;
}
