import { Command } from 'commander';
import { positive } from './arguments.js';
import { cpuOf, measureInTurn, medianOf, medianRatio, rateOf, type Rounds } from './in-turn.js';
import type { Figures } from './measure.js';
import { startBareProxy, startCauseway, startFastify, type Started } from './servers.js';
import type { Target } from './target.js';
import { reading, strided, type Workload } from './workload.js';

const CONNECTIONS = 64;
const BODY = 'b'.repeat(500);
/** It is taken for a database by who looks whether one is there. */
const DOCUMENT = JSON.stringify({ couchdb: 'Welcome', _id: 'doc', _rev: '1-a', text: BODY });

interface Options {
  readonly rounds: number;
  readonly requests: number;
}

/** Runs the benchmark; returns the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  const command = new Command('scripts/bench-proxy')
    .description(
      'Measures requests that are passed on to an upstream, by Causeway and by a bare Fastify with undici in turn.',
    )
    .option('--rounds <number>', 'rounds of each; the median counts, after one that does not', positive, 5)
    .option('--requests <number>', 'requests of a round', positive, 30_000);
  command.parse(args, { from: 'user' });
  const { rounds, requests } = command.opts<Options>();
  const started: Started[] = [];
  try {
    const upstream = await startFastify();
    started.push(upstream);
    await upstream.target.must('PUT', '/answer', DOCUMENT);
    const { url } = upstream.target;
    const bare = await startBareProxy(url);
    started.push(bare);
    const causeway = await startCauseway({
      CAUSEWAY_UPSTREAM_URL: url,
      CAUSEWAY_DATABASES: JSON.stringify([{ match: '*', mode: 'proxy' }]),
    });
    started.push(causeway);
    for (const workload of workloads(requests))
      process.stdout.write(await compare(causeway.target, bare.target, workload, rounds));
    return 0;
  } finally {
    for (const server of started.reverse()) await server.stop();
  }
}

function workloads(count: number): Workload[] {
  const of = (name: string, title: string, requestFor: (target: Target) => Buffer): Workload =>
    reading(name, title, 'request', CONNECTIONS, (target) => {
      const request = requestFor(target);
      const all = Array.from({ length: count }, () => request);
      return {
        units: count,
        requests: (connection) => strided(all, connection, CONNECTIONS),
        sample: { request, holds: (answer) => answer.includes(BODY) },
      };
    });
  return [
    of('get', 'GET one document', (target) => target.request('GET', '/bench/doc')),
    of('put', 'PUT one document', (target) => target.request('PUT', '/bench/doc', DOCUMENT)),
  ];
}

/** A line that says how both did. */
async function compare(own: Target, bare: Target, workload: Workload, rounds: number): Promise<string> {
  const [ours, theirs] = await measureInTurn([own, bare], workload, rounds);
  if (ours === undefined || theirs === undefined) return '';
  const share = (of: (figures: Figures) => number): string =>
    `${(medianRatio(ours, theirs, of) * 100).toFixed(0)} %`;
  return `${workload.title}: Causeway ${shown(ours)}; bare ${shown(theirs)}; ${share(rateOf)} of its requests a second, ${share(cpuOf)} of its processor time\n`;
}

/** The medians. */
const shown = (rounds: Rounds): string =>
  `${medianOf(rounds, rateOf).toFixed(0)} a second, ${medianOf(rounds, cpuOf).toFixed(0)} µs`;
