import { inspect, parseArgs } from 'node:util';
import { testSeed } from '../support/random.js';
import { attachment } from './attachment.js';
import { browser } from './browser.js';
import { clients } from './clients.js';
import { conflicts } from './conflicts.js';
import { couchbackup } from './couchbackup.js';
import { Refusal, SoakContext, soakFolder, type SoakOptions } from './context.js';
import { databases } from './databases.js';
import { authorization, fuzz } from './fuzz.js';
import { functions } from './functions.js';
import { gaps } from './gaps.js';
import { indexBuild } from './index-build.js';
import { kill } from './kill.js';
import { listeners } from './listeners.js';
import { merging } from './merging.js';
import { mirrors } from './mirrors.js';
import { mirrorsIdle } from './mirrors-idle.js';
import { replication } from './replication.js';
import { rows } from './rows.js';
import { start } from './start.js';
import { viewBuild } from './view-build.js';
import { views } from './views.js';

/** Each returns true when it is done, false when another call has to go on with it. */
const soaks: Readonly<Record<string, (context: SoakContext) => Promise<boolean>>> = {
  kill,
  listeners,
  clients,
  rows,
  index: indexBuild,
  gaps,
  browser,
  couchbackup,
  fuzz,
  authorization,
  attachment,
  start,
  databases,
  functions,
  views,
  'view-build': viewBuild,
  replication,
  mirrors,
  'mirrors-idle': mirrorsIdle,
  merging,
  conflicts,
};

const USAGE = `usage: scripts/soak ${Object.keys(soaks).join('|')} [--rounds A-B] [--seed S]\n`;

/** Runs one soak; returns the exit code: 0 done, 1 failed, 2 not possible here, 3 to be gone on with by another call. */
export async function main(args: readonly string[]): Promise<number> {
  const { name, options } = parse(args) ?? {};
  const soak = name === undefined ? undefined : soaks[name];
  if (name === undefined || soak === undefined || options === undefined) {
    process.stderr.write(USAGE);
    return 64;
  }
  const context = new SoakContext(name, options, await soakFolder());
  try {
    const done = await soak(context);
    return done ? 0 : 3;
  } catch (error) {
    if (error instanceof Refusal) {
      process.stderr.write(`${name}: ${error.message}\n`);
      return 2;
    }
    // With its causes.
    const text = inspect(error);
    process.stderr.write(`${text}\n`);
    await context.record({ failed: text });
    return 1;
  }
}

function parse(args: readonly string[]): { name: string | undefined; options: SoakOptions } | undefined {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { rounds: { type: 'string' }, seed: { type: 'string' } },
    });
    const seed = values.seed === undefined ? testSeed() : Number(values.seed);
    const [, from, to] = /^(\d+)-(\d+)$/.exec(values.rounds ?? '') ?? [];
    if (!Number.isInteger(seed) || (values.rounds !== undefined && from === undefined)) return undefined;
    const rounds = from === undefined ? undefined : { from: Number(from), to: Number(to) };
    return { name: positionals[0], options: { seed, rounds } };
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}
