import { writeFile } from 'node:fs/promises';
import { Command, Option } from 'commander';
import { positive } from './arguments.js';
import { type Figures, measure, measureBare } from './measure.js';
import { rawCosts, syncLatency } from './raw-limit.js';
import { type Measured, report, reportJson } from './report.js';
import { type Started, startCauseway, startExpressPouchDB, startFastify } from './servers.js';
import { Target } from './target.js';
import type { Workload } from './workload.js';
import { fill, workloads } from './workloads.js';

interface Options {
  readonly workload: readonly string[] | undefined;
  readonly rounds: number;
  readonly documents: number;
  readonly json: string | undefined;
}

/** Runs the benchmark; returns the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  const { urls, options } = parse(args);
  const chosen = workloads(options.documents).filter(
    ({ name }) => options.workload?.includes(name) !== false,
  );
  const started: Started[] = [];
  try {
    const targets = await targetsOf(urls, started);
    const fastify = await startFastify();
    started.push(fastify);
    await bench(targets, fastify.target, chosen, options);
    return 0;
  } finally {
    for (const server of started) await server.stop();
  }
}

function parse(args: readonly string[]): { urls: readonly string[]; options: Options } {
  const names = workloads(1).map(({ name }) => name);
  const command = new Command('scripts/bench')
    .description(
      'Measures servers that speak CouchDB’s protocol, one workload after the other, each on every server in turn. ' +
        'The first server is what the others are compared to. Without a URL, Causeway and express-pouchdb are started.',
    )
    .argument(
      '[urls...]',
      'servers, with the name and password of an admin: http://admin:secret@127.0.0.1:5984',
    )
    .addOption(new Option('--workload <name...>', 'only these').choices(names))
    .option('--rounds <number>', 'rounds of each; the median counts, after one that does not', positive, 3)
    .option('--documents <number>', 'documents of the database that is read', positive, 100_000)
    .option('--json <file>', 'write the figures of every round to a file, too');
  command.parse(args, { from: 'user' });
  return { urls: command.args, options: command.opts<Options>() };
}

async function targetsOf(urls: readonly string[], started: Started[]): Promise<Target[]> {
  if (urls.length > 0) {
    return Promise.all(urls.map((url) => Target.at(new URL(url).host, url)));
  }
  for (const start of [startCauseway, startExpressPouchDB]) started.push(await start());
  return started.map(({ target }) => target);
}

async function bench(
  targets: readonly Target[],
  bare: Target,
  chosen: readonly Workload[],
  { documents, rounds, json }: Options,
): Promise<void> {
  const sync = await syncLatency();
  say(`one synced write takes ${sync.toFixed(2)} ms on this disk`);
  say('measuring LevelDB alone');
  const raw = await rawCosts(documents);
  for (const target of targets) {
    say(`loading ${String(documents)} documents into ${target.name}`);
    await fill(target, documents);
  }
  const measured: Measured[] = [];
  try {
    for (const workload of chosen) measured.push(await measureAll(targets, bare, workload, rounds));
  } finally {
    for (const target of targets) await target.must('DELETE', '/bench');
  }
  process.stdout.write(report(measured, { targets, bare, raw, sync }));
  if (json !== undefined) await writeFile(json, reportJson(measured, { raw, sync }));
}

/** No server gets faster after so long. */
const WARM_UP_MS = 3000;

async function measureAll(
  targets: readonly Target[],
  bare: Target,
  workload: Workload,
  rounds: number,
): Promise<Measured> {
  const [first] = targets;
  const figures = new Map<string, Figures[]>();
  const note = (name: string, one: Figures): void => {
    figures.set(name, [...(figures.get(name) ?? []), one]);
  };
  // Code is compiled and caches fill in a round that does not count.
  for (const target of targets) await measure(target, workload, 0, WARM_UP_MS);
  if (first !== undefined) await measureBare(bare, first, workload, 0, WARM_UP_MS);
  for (let round = 1; round <= rounds; round++) {
    for (const target of targets) {
      say(`${workload.name}, round ${String(round)}: ${target.name}`);
      note(target.name, await measure(target, workload, round));
    }
    if (first !== undefined) note(bare.name, await measureBare(bare, first, workload, round));
  }
  return { workload, figures };
}

const say = (text: string): void => void process.stderr.write(`bench: ${text}\n`);
