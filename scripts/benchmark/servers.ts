import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { Target } from './target.js';

const here = import.meta.dirname;
const root = path.resolve(here, '../..');

/** A server that was started for the benchmark. */
export interface Started {
  readonly target: Target;
  stop(): Promise<void>;
}

/** Starts Causeway on an empty data directory. @param settings environment variables, where not all are the defaults */
export function startCauseway(settings: Record<string, string> = {}): Promise<Started> {
  const args = (data: string): string[] => [
    path.join(root, 'dist/main.js'),
    'serve',
    '--port',
    '0',
    '--data',
    data,
  ];
  const env = { CAUSEWAY_ADMINS: 'admin:bench', CAUSEWAY_LOG_LEVEL: 'warn', ...settings };
  return start('Causeway', args, env, (line) =>
    /ready at http:\/\/([^;]+);/.exec(line)?.[1]?.replace(/^/, 'http://admin:bench@'),
  );
}

/** Packages of the other server: old, and needed by nobody else, so they stand outside the tree. */
const OTHERS = ['express-pouchdb@4', 'pouchdb@9', 'express@4'];

/** Starts express-pouchdb over PouchDB's LevelDB, which npm installs into a cache at the first time. */
export async function startExpressPouchDB(): Promise<Started> {
  const cache = path.join(process.env.XDG_CACHE_HOME ?? path.join(homedir(), '.cache'), 'causeway-bench');
  if (!existsSync(path.join(cache, 'node_modules/express-pouchdb'))) {
    await mkdir(cache, { recursive: true });
    const install = [
      'install',
      '--prefix',
      cache,
      '--no-save',
      '--no-audit',
      '--no-fund',
      '--loglevel=error',
    ];
    const npm = spawn('npm', [...install, ...OTHERS], { stdio: ['ignore', 2, 2] });
    const [code] = (await once(npm, 'exit')) as [number | null];
    if (code !== 0) throw new Error('npm could not install express-pouchdb');
  }
  const args = (data: string): string[] => [path.join(here, 'express-pouchdb.cjs'), cache, data];
  return start('express-pouchdb', args, {}, urlLine);
}

/** Starts a bare Fastify that answers every path with the bytes that it was given for it. */
export function startFastify(): Promise<Started> {
  return start('bare Fastify', () => [path.join(here, 'bare-fastify.mjs')], {}, urlLine);
}

/** Starts a bare Fastify that passes everything on to a server. */
export function startBareProxy(url: string): Promise<Started> {
  return start('bare proxy', () => [path.join(here, 'bare-proxy.mjs'), new URL(url).origin], {}, urlLine);
}

const urlLine = (line: string): string | undefined => /^http:\S+$/.exec(line)?.[0];

async function start(
  name: string,
  args: (data: string) => string[],
  env: Record<string, string>,
  urlOf: (line: string) => string | undefined,
): Promise<Started> {
  const data = await mkdtemp(path.join(tmpdir(), 'causeway-bench-'));
  const child = spawn(process.execPath, args(data), {
    cwd: data,
    env: { ...process.env, NODE_ENV: 'production', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const stop = async (): Promise<void> => {
    await end(child);
    await rm(data, { recursive: true, force: true });
  };
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const url = urlOf(line);
      if (url === undefined) continue;
      child.stdout.resume();
      return { target: await Target.at(name, url), stop };
    }
    throw new Error(`${name} did not start`);
  } catch (error) {
    await stop();
    throw error;
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}
