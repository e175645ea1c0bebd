import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { prepare } from '../../scripts/setup.cjs';

const root = path.resolve(import.meta.dirname, '../..');
const running = new Set<ChildProcess>();
// A test that fails may not stop its server.
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export interface ProgramOptions {
  /** Besides PATH and the like; no CAUSEWAY_ variable of the caller reaches the program. */
  env?: Record<string, string>;
  cwd?: string;
}

/** A running process of the program and what it has printed so far. */
export interface Program {
  readonly pid: number;
  readonly stdout: string;
  readonly stderr: string;
  signal(name: NodeJS.Signals): void;
  /** Resolves when it has ended, with its exit code, or the signal that killed it. */
  readonly ended: Promise<number | NodeJS.Signals>;
  /** Resolves with the first match in what it prints; rejects when it ends without one. */
  printed(stream: 'stdout' | 'stderr', pattern: RegExp): Promise<RegExpExecArray>;
}

let isPrepared = false;

/** Starts `node dist/main.js ARGS`, compiled before the first start where it is stale. */
export function startProgram(args: readonly string[], options: ProgramOptions = {}): Program {
  if (!isPrepared) prepare();
  isPrepared = true;
  return startProcess(process.execPath, [path.join(root, 'dist/main.js'), ...args], options);
}

/** Starts any command, as `startProgram` does. */
export function startProcess(
  command: string,
  args: readonly string[],
  options: ProgramOptions = {},
): Program {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(CAUSEWAY_|VITEST|NODE_OPTIONS)/.test(name),
  );
  const env = { ...Object.fromEntries(inherited), NODE_ENV: 'production', ...options.env };
  const child = spawn(command, args, { cwd: options.cwd ?? root, env, stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);

  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8');
    child[name].on('data', (text: string) => (output[name] += text));
  }
  const ended = once(child, 'close').then((result) => {
    running.delete(child);
    const [code, signal] = result as [number | null, NodeJS.Signals | null];
    return code ?? signal ?? 'SIGKILL';
  });

  return {
    pid: child.pid ?? 0,
    get stdout() {
      return output.stdout;
    },
    get stderr() {
      return output.stderr;
    },
    ended,
    signal: (name) => void child.kill(name),
    async printed(stream, pattern) {
      const over = ended.then((how) => {
        throw new Error(`the program ended (${how}) before it printed ${String(pattern)}:\n${output.stderr}`);
      });
      for (;;) {
        const match = pattern.exec(output[stream]);
        if (match) {
          over.catch(() => undefined);
          return match;
        }
        await Promise.race([once(child[stream], 'data'), over]);
      }
    },
  };
}

/** Runs `node dist/main.js ARGS` to its end. */
export async function runProgram(
  args: readonly string[],
  options: ProgramOptions = {},
): Promise<{ code: number | NodeJS.Signals; stdout: string; stderr: string }> {
  const program = startProgram(args, options);
  const code = await program.ended;
  return { code, stdout: program.stdout, stderr: program.stderr };
}

export interface GatewayOptions extends ProgramOptions {
  /** Flags after `serve`; the port is chosen by the kernel where they do not say. */
  args?: readonly string[];
  /** A data directory that outlives the server; a new one, removed at the end, when left out. */
  data?: string;
}

export interface RunningGateway {
  readonly program: Program;
  /** Without a slash at the end. */
  readonly url: string;
  readonly port: number;
  readonly data: string;
  readonly admin: { readonly name: string; readonly password: string };
  /** `url` with the admin's name and password in it. */
  readonly adminUrl: string;
  /** An Authorization header for the admin. */
  readonly authorization: string;
  /** Ends it with SIGTERM; resolves with the exit code. */
  stop(): Promise<number | NodeJS.Signals>;
  /** Ends it with SIGKILL. */
  kill(): Promise<void>;
}

/** Each start hashes the password of its admin, or checks it. */
const CHEAP = { CAUSEWAY_PASSWORDS_ITERATIONS: '2' };

/** Starts a gateway with one admin of its own, and waits until it answers. */
export async function startGateway({
  args = [],
  data,
  ...options
}: GatewayOptions = {}): Promise<RunningGateway> {
  const directory = data ?? (await temporaryFolder());
  const admin = { name: 'admin', password: 'secret' };
  const hasAdmins = options.env?.CAUSEWAY_ADMINS !== undefined;
  const env = { CAUSEWAY_ADMINS: `${admin.name}:${admin.password}`, ...CHEAP, ...options.env };
  const port = args.includes('--port') ? [] : ['--port', '0'];
  const program = startProgram(['serve', '--data', directory, ...port, ...args], { ...options, env });
  const [, url = ''] = await program.printed('stdout', /ready at (\S+?);/);
  if (hasAdmins) Object.assign(admin, await configuredAdmin(env.CAUSEWAY_ADMINS, directory));

  const end = async (signal: NodeJS.Signals): Promise<number | NodeJS.Signals> => {
    program.signal(signal);
    const how = await program.ended;
    if (data === undefined) await rm(directory, { recursive: true, force: true });
    return how;
  };
  const credentials = `${encodeURIComponent(admin.name)}:${encodeURIComponent(admin.password)}`;
  return {
    program,
    url,
    port: Number(new URL(url).port),
    data: directory,
    admin,
    adminUrl: url.replace('://', `://${credentials}@`),
    authorization: `Basic ${Buffer.from(`${admin.name}:${admin.password}`).toString('base64')}`,
    stop: () => end('SIGTERM'),
    async kill() {
      await end('SIGKILL');
    },
  };
}

/** The first admin of CAUSEWAY_ADMINS, or the one that the gateway made when it is empty. */
async function configuredAdmin(admins: string, data: string): Promise<{ name: string; password: string }> {
  const [, name = '', password = ''] = /^([^:]+):([^,]*)/.exec(admins) ?? [];
  if (name !== '') return { name, password };
  return { name: 'admin', password: (await readFile(path.join(data, 'admin-password'), 'utf8')).trim() };
}

/** An empty folder that the caller removes. */
export async function temporaryFolder(): Promise<string> {
  return await mkdtemp(path.join(tmpdir(), 'causeway-test-'));
}
