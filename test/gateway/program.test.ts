import { createServer, type Server } from 'node:net';
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { once } from 'node:events';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { keys } from '../../src/config/keys.js';
import {
  type Program,
  runProgram,
  startGateway,
  startProcess,
  startProgram,
  temporaryFolder,
} from '../support/server.js';

let folder: string;

beforeAll(async () => {
  folder = await temporaryFolder();
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

const inFolder = (name: string): string => path.join(folder, name);

/** Starts the program with its standard output in a pipe whose reader leaves without reading. */
const unread = (args: readonly string[]): Program => {
  const program = path.resolve(import.meta.dirname, '../../scripts/causeway');
  return startProcess('bash', ['-c', 'exec "$@" > >(true)', '', process.execPath, program, ...args]);
};

describe('causeway serve', () => {
  it('answers, says where, and stops with 0 on SIGTERM', async () => {
    const gateway = await startGateway();
    const answer = await fetch(gateway.url);
    expect(await answer.json()).toMatchObject({ couchdb: 'Welcome' });
    expect(gateway.program.stdout).toBe(
      `Causeway is ready at ${gateway.url}; its data is in ${gateway.data}\n`,
    );
    const ready = gateway.program.stderr.split('\n').find((line) => line.includes('"ready"')) ?? '';
    expect(JSON.parse(ready)).toMatchObject({ url: gateway.url, data: gateway.data });
    expect(await gateway.stop()).toBe(0);
  });

  it('names the file with the password of admin at every start', async () => {
    const data = inFolder('named');
    for (let start = 0; start < 2; start += 1) {
      const gateway = await startGateway({ data, env: { CAUSEWAY_ADMINS: '' } });
      const file = path.join(data, 'admin-password');
      expect(gateway.program.stdout).toContain(`; the password of admin is in ${file}\n`);
      const password = (await readFile(file, 'utf8')).trim();
      expect(gateway.program.stdout + gateway.program.stderr).not.toContain(password);
      const headers = { authorization: gateway.authorization };
      expect((await fetch(`${gateway.url}/_all_dbs`, { headers })).status).toBe(200);
      expect((await fetch(`${gateway.url}/_all_dbs`)).status).toBe(401);
      expect(await gateway.stop()).toBe(0);
    }
  });

  it('keeps its uuid and the data directory’s secrets after SIGKILL', async () => {
    const data = inFolder('killed');
    const uuidOf = async (url: string): Promise<unknown> =>
      ((await (await fetch(url)).json()) as { uuid: string }).uuid;
    const first = await startGateway({ data });
    const uuid = await uuidOf(first.url);
    const secret = await readFile(path.join(data, 'secret'), 'utf8');
    await first.kill();
    const second = await startGateway({ data });
    expect(await uuidOf(second.url)).toBe(uuid);
    expect(await readFile(path.join(data, 'secret'), 'utf8')).toBe(secret);
    await second.stop();
  });

  it('has more threads for files and passwords than the four of the default', async () => {
    const gateway = await startGateway();
    const threads = await readdir(`/proc/${gateway.program.pid}/task`);
    expect(threads.length).toBeGreaterThan(24);
    await gateway.stop();
  });

  it('goes on where nobody reads what it prints', async () => {
    const program = unread(['serve', '--port', '0', '--data', inFolder('unread')]);
    const [, url = ''] = await program.printed('stderr', /"url":"([^"]+)"/);
    expect((await fetch(url)).status).toBe(200);
    program.signal('SIGTERM');
    expect(await program.ended).toBe(0);
  });

  it('ends at once on a second signal', async () => {
    const gateway = await startGateway();
    const headers = { authorization: gateway.authorization };
    expect((await fetch(`${gateway.url}/db`, { method: 'PUT', headers })).status).toBe(201);
    // A request whose end never comes keeps the server from stopping by itself.
    const client = connect(gateway.port, '127.0.0.1');
    const lost = once(client, 'close');
    client.on('error', () => undefined);
    client.write(
      `PUT /db/doc HTTP/1.1\r\nHost: a\r\nAuthorization: ${gateway.authorization}\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{`,
    );
    await fetch(gateway.url);
    gateway.program.signal('SIGTERM');
    await gateway.program.printed('stderr', /"stopping"/);
    gateway.program.signal('SIGINT');
    expect(await gateway.program.ended).toBe(130);
    await lost;
    await gateway.stop();
  });

  it('stops cleanly when npm start gets the signal', async () => {
    const npm = startProcess('npm', ['start', '--', '--port', '0', '--data', inFolder('npm')], {
      env: { CAUSEWAY_ADMINS: 'a:b' },
    });
    await npm.printed('stdout', /ready at/);
    npm.signal('SIGTERM');
    await npm.printed('stderr', /"stopped"/);
    await npm.ended;
  });
});

describe('what keeps the program from starting is said in one line', () => {
  const admins = { CAUSEWAY_ADMINS: 'a:b' };

  async function refusal(args: string[], env: Record<string, string> = admins) {
    const { code, stdout, stderr } = await runProgram(args, { env });
    expect(stdout).toBe('');
    const lines = stderr
      .trim()
      .split('\n')
      .filter((line) => !line.startsWith('{'));
    return { code, lines };
  }

  it('a port in use: 69', async () => {
    const other: Server = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    expect(await refusal(['serve', '--data', inFolder('port'), '--port', String(port)])).toEqual({
      code: 69,
      lines: [`causeway: cannot listen on 127.0.0.1 port ${port}: the port is in use`],
    });
    other.close();
  });

  it('a host that is not here: 69', async () => {
    const { code, lines } = await refusal([
      'serve',
      '--data',
      inFolder('host'),
      '--host',
      '192.0.2.1',
      '--port',
      '0',
    ]);
    expect(code).toBe(69);
    expect(lines).toEqual([expect.stringMatching(/^causeway: cannot listen on 192\.0\.2\.1 port 0: /)]);
  });

  it('a data directory in use: 75', async () => {
    const gateway = await startGateway();
    expect(await refusal(['serve', '--data', gateway.data, '--port', '0'])).toEqual({
      code: 75,
      lines: [`causeway: the data directory ${gateway.data} is in use by another process`],
    });
    await gateway.stop();
  });

  it('a data directory that cannot be written: 73', async () => {
    await writeFile(inFolder('file'), '');
    const { code, lines } = await refusal(['serve', '--data', inFolder('file/data'), '--port', '0']);
    expect(code).toBe(73);
    expect(lines).toEqual([
      expect.stringMatching(/^causeway: the data directory .*file\/data cannot be used: ENOTDIR/),
    ]);
  });

  it('a data directory of a newer format: 65', async () => {
    await mkdir(inFolder('newer'));
    await writeFile(path.join(inFolder('newer'), 'server.json'), '{"format":99}');
    const { code, lines } = await refusal(['serve', '--data', inFolder('newer'), '--port', '0']);
    expect(code).toBe(65);
    expect(lines).toEqual([expect.stringMatching(/^causeway: the data directory .* has format 99; /)]);
  });

  it('a bad configuration: 78', async () => {
    expect(await refusal(['serve'], { CAUSEWAY_PORT: 'x' })).toEqual({
      code: 78,
      lines: [
        'causeway: bad configuration: port is "x" (CAUSEWAY_PORT); allowed is a whole number from 0 to 65535',
      ],
    });
    expect(
      await refusal(['serve', '--data', inFolder('hash'), '--port', '0'], {
        CAUSEWAY_ADMINS: 'jan:-pbkdf2-x,y,z',
      }),
    ).toEqual({
      code: 78,
      lines: ['causeway: bad configuration: admins.jan is a hashed password in no known form'],
    });
  });

  it('a wrong command line: 64', async () => {
    expect((await refusal(['serve', '--prot', '1'])).code).toBe(64);
    expect((await refusal(['srve'])).code).toBe(64);
    expect((await refusal([])).code).toBe(64);
  });
});

describe('causeway config and help', () => {
  it('prints the effective configuration without secrets', async () => {
    const program = startProgram(
      ['config', '--port', '1', '--cors', 'http://a', '--cors', 'http://b', '--docs'],
      {
        env: { CAUSEWAY_ADMINS: 'jan:sesame', CAUSEWAY_DATA: inFolder('none') },
      },
    );
    expect(await program.ended).toBe(0);
    expect(program.stdout).toMatch(/^port: 1$/m);
    expect(program.stdout).toMatch(/- http:\/\/a\n\s+- http:\/\/b\n/);
    expect(program.stdout).toMatch(/# The port that the server listens on/);
    expect(program.stdout + program.stderr).not.toContain('sesame');
  });

  it('says which rule is wrong, as a start does', async () => {
    const env = {
      CAUSEWAY_ADMINS: 'a:b',
      CAUSEWAY_DATA: inFolder('rules'),
      CAUSEWAY_DATABASES: JSON.stringify([{ match: '*', mode: 'local', merge: 'tree-way' }]),
    };
    const refused = {
      code: 78,
      stdout: '',
      stderr: expect.stringMatching(
        /^causeway: bad configuration: databases\.0\.merge: there is no merge function tree-way; did you mean three-way\?$/m,
      ) as string,
    };
    const runs = await Promise.all(['config', 'serve'].map((command) => runProgram([command], { env })));
    expect(runs).toEqual([refused, refused]);
  });

  it.each([['config'], ['--help'], ['verify']])('ends quietly where nobody reads it: %s', async (command) => {
    await mkdir(inFolder('nothing/databases'), { recursive: true });
    const options = command === 'verify' ? ['--data', inFolder('nothing')] : [];
    const program = unread([command, ...options]);
    expect([await program.ended, program.stderr]).toEqual([141, '']);
  });

  it('names every flag in the help', async () => {
    const { code, stdout } = await runProgram(['serve', '--help']);
    expect(code).toBe(0);
    for (const { flag } of keys) if (flag !== undefined) expect(stdout).toContain(`${flag} `);
    expect(stdout).toContain('--cors <origin>');
    expect(stdout).toContain('Exit codes:');
  });

  it('tells its version', async () => {
    expect(await runProgram(['--version'])).toMatchObject({ code: 0, stdout: '0.1.0\n' });
  });
});
