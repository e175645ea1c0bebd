import { Command } from 'commander';
import { newAgent } from '../../src/replication/http/agent.js';
import { startDelayProxy } from '../../test/support/delay-proxy.js';
import { anonymousMemory, MemoryWatch } from '../../test/system/support/proc.js';
import { listenerOf, processorMicroseconds } from './processes.js';
import { waysOfCouchdb } from './replication/couchdb.js';
import { type Documents, fill } from './replication/documents.js';
import { measureIdle, type Process } from './replication/idle.js';
import { localPeer, localStore } from './replication/local.js';
import { Server } from './replication/server.js';
import { waysBetweenServers } from './replication/servers.js';
import type { CleanUp, Way } from './replication/way.js';
import { startCauseway } from './servers.js';

interface Options extends Documents {
  readonly rounds: number;
  readonly delay: number;
  readonly idle: number;
  readonly couchdb?: string;
  readonly way?: readonly string[];
}

/** Measures replications; returns the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  const command = new Command('scripts/bench-replication')
    .description(
      'Replicates documents from one server to another, to here and from here, by the engine in this process and by ' +
        'the servers themselves. Where a CouchDB is given, also from it and to it, beside a loader, a reader and a ' +
        'follower that do nothing else, and between two of its databases by its own replicator.',
    )
    .option('--documents <number>', 'documents that are replicated', Number, 100_000)
    .option('--size <bytes>', 'bytes of a document, about', Number, 2000)
    .option('--rounds <number>', 'rounds of each; the median counts', Number, 3)
    .option('--delay <milliseconds>', 'of a round trip to the far servers of the last way', Number, 100)
    .option('--idle <number>', 'measures so many continuous replications without changes instead', Number, 0)
    .option('--way <name...>', 'only these')
    .option('--couchdb <url>', 'with the name and password of an admin');
  command.parse(args, { from: 'user' });
  const cleanUp: CleanUp = [];
  try {
    await bench(command.opts<Options>(), cleanUp);
  } finally {
    for (const close of cleanUp.reverse()) await close();
  }
  return 0;
}

async function bench(options: Options, cleanUp: CleanUp): Promise<void> {
  const agent = newAgent();
  cleanUp.push(() => agent.destroy());
  const env = options.idle > 0 ? { CAUSEWAY_REPLICATION_MAX_JOBS: String(options.idle) } : {};
  const start = async (): Promise<Process & { readonly port: number }> => {
    const started = await startCauseway(env);
    cleanUp.push(() => started.stop());
    const { target } = started;
    const { port } = new URL(target.url);
    return { server: new Server(causewayAt(port), agent), pid: target.pid ?? 0, port: Number(port) };
  };
  const [near, far] = [await start(), await start()];
  if (options.idle > 0) {
    const { source, target } = await measureIdle(options.idle, near, far);
    print(
      `${options.idle} idle: source ${source.toFixed(2)} %, target ${target.toFixed(2)} % of a processor`,
    );
    return;
  }
  // Before anything is asked of them.
  const idle = { near: await anonymousMemory(near.pid), far: await anonymousMemory(far.pid) };
  const store = await localStore(cleanUp);
  const local = (name: string) => localPeer(store, name);
  const distant = async ({ port }: { readonly port: number }): Promise<Server> => {
    const proxy = await startDelayProxy(port, options.delay / 2);
    cleanUp.push(() => proxy.close());
    return new Server(causewayAt(proxy.port), agent);
  };
  const places = {
    near: near.server,
    far: far.server,
    distantNear: await distant(near),
    distantFar: await distant(far),
    local,
  };
  for (const peer of [places.near.peer('source'), local('source')]) await fill(peer, options);
  const couchdb = options.couchdb === undefined ? undefined : new Server(options.couchdb, agent);
  const all = [
    ...waysBetweenServers(places),
    ...(couchdb === undefined ? [] : await waysOfCouchdb(couchdb, local, options, cleanUp)),
  ];
  const ways = all.filter(({ name }) => options.way?.includes(name) !== false);
  const watched = [
    { name: 'near', pid: near.pid, idle: idle.near },
    { name: 'far', pid: far.pid, idle: idle.far },
    // Most of what this process has is the compiler's.
    { name: 'here', pid: process.pid, idle: await anonymousMemory(process.pid) },
  ];
  const other = options.couchdb && (await listenerOf(Number(new URL(options.couchdb).port)));
  if (other) watched.push({ name: 'CouchDB', pid: other, idle: await anonymousMemory(other) });
  await measureAll(ways, watched, options);
}

const causewayAt = (port: string | number): string => `http://admin:bench@127.0.0.1:${port}`;

async function measureAll(
  ways: readonly Way[],
  watched: readonly Watched[],
  { rounds, documents }: Options,
): Promise<void> {
  const rates = new Map(ways.map(({ name }) => [name, [] as number[]]));
  for (let round = 1; round <= rounds; round++) {
    for (const way of ways) {
      const figures = await measure(way, watched, round, documents);
      rates.get(way.name)?.push(figures.rate);
      print(`round ${round} ${way.name}: ${tell(figures)}`);
    }
  }
  for (const { name, beside } of ways) {
    const own = rates.get(name) ?? [];
    const other = rates.get(beside ?? '');
    const share = other && median(own.map((rate, at) => rate / (other[at] ?? NaN)));
    const compared = share === undefined ? '' : `, ${(share * 100).toFixed(0)} % of ${beside ?? ''}`;
    print(`median ${name}: ${median(own).toFixed(0)} documents a second${compared}`);
  }
}

/** A process whose memory and processor time are told. */
interface Watched {
  readonly name: string;
  readonly pid: number;
  /** Bytes of anonymous memory that it had before. */
  readonly idle: number;
}

interface Figures {
  readonly rate: number;
  /** Microseconds of processor time for a document, and the most anonymous memory beyond that when idle, in MB. */
  readonly costs: readonly { readonly name: string; readonly cpu: number; readonly memory: number }[];
}

async function measure(
  way: Way,
  watched: readonly Watched[],
  round: number,
  documents: number,
): Promise<Figures> {
  const before = await Promise.all(watched.map(({ pid }) => usedBy(pid)));
  const watches = watched.map(({ pid }) => new MemoryWatch(pid));
  const start = performance.now();
  await way.run(round);
  const seconds = (performance.now() - start) / 1000;
  const costs = await Promise.all(
    watched.map(async ({ name, pid, idle }, at) => {
      const cpu = ((await usedBy(pid)) - (before[at] ?? 0)) / documents;
      const peak = (await watches[at]?.stop()) ?? 0;
      return { name, cpu, memory: (peak - idle) / 1e6 };
    }),
  );
  return { rate: documents / seconds, costs };
}

/** Microseconds of processor time. The servers are children of this process: what they use is not its own. */
async function usedBy(pid: number): Promise<number> {
  if (pid !== process.pid) return await processorMicroseconds(pid);
  const { user, system } = process.cpuUsage();
  return user + system;
}

const tell = ({ rate, costs }: Figures): string =>
  [
    `${rate.toFixed(0)} documents a second`,
    ...costs.map(({ name, cpu, memory }) => `${name} ${cpu.toFixed(0)} µs, ${memory.toFixed(0)} MB`),
  ].join('; ');

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
}

const print = (line: string): void => void process.stdout.write(`${line}\n`);
