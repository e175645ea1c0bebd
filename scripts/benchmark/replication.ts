import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Command } from 'commander';
import { createLogger } from '../../src/observe/log.js';
import { Tasks } from '../../src/observe/tasks.js';
import { newAgent } from '../../src/replication/http/agent.js';
import { HttpPeer } from '../../src/replication/http/peer.js';
import { LocalPeer } from '../../src/replication/local/peer.js';
import type { Peer } from '../../src/replication/peer.js';
import { startReplication } from '../../src/replication/run.js';
import { Databases } from '../../src/store/databases.js';
import { startDelayProxy } from '../../test/support/delay-proxy.js';
import { anonymousMemory, MemoryWatch } from '../../test/system/support/proc.js';
import { processorMicroseconds } from './processes.js';
import { type Started, startCauseway } from './servers.js';

interface Options {
  readonly documents: number;
  readonly size: number;
  readonly rounds: number;
  readonly delay: number;
  readonly couchdb?: string;
  readonly way?: readonly string[];
}

/** A way to replicate the documents from one database to a new one. */
interface Way {
  readonly name: string;
  /** Processes whose memory and processor time are told. */
  readonly processes: Readonly<Record<string, number>>;
  run(round: number): Promise<void>;
}

const BATCH = 2000;
const signal = new AbortController().signal;

/** Measures replications; returns the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  const command = new Command('scripts/bench-replication')
    .description(
      'Replicates documents from one server to another, to here and from here, and where a CouchDB is given, ' +
        'between two of its databases by its own replicator.',
    )
    .option('--documents <number>', 'documents that are replicated', Number, 100_000)
    .option('--size <bytes>', 'bytes of a document, about', Number, 2000)
    .option('--rounds <number>', 'rounds of each; the median counts', Number, 3)
    .option('--delay <milliseconds>', 'of a round trip to the far servers of the last way', Number, 100)
    .option('--way <name...>', 'only these')
    .option('--couchdb <url>', 'with the name and password of an admin');
  command.parse(args, { from: 'user' });
  await bench(command.opts<Options>());
  return 0;
}

async function bench(options: Options): Promise<void> {
  const cleanUp: (() => Promise<unknown>)[] = [];
  try {
    const all = await prepare(options, cleanUp);
    const ways = all.filter(({ name }) => options.way?.includes(name) !== false);
    const results = ways.map(() => [] as Figures[]);
    // Most of it is the compiler's.
    print(`here ${((await anonymousMemory(process.pid)) / 1e6).toFixed(0)} MB before`);
    for (let round = 1; round <= options.rounds; round++) {
      for (const [at, way] of ways.entries()) {
        const figures = await measure(way, round, options.documents);
        results[at]?.push(figures);
        print(`round ${round} ${way.name}: ${tell(figures)}`);
      }
    }
    for (const [at, way] of ways.entries()) {
      const rates = (results[at] ?? []).map(({ rate }) => rate).sort((a, b) => a - b);
      print(`median ${way.name}: ${(rates[rates.length >> 1] ?? 0).toFixed(0)} documents a second`);
    }
  } finally {
    for (const close of cleanUp.reverse()) await close();
  }
}

async function prepare(options: Options, cleanUp: (() => Promise<unknown>)[]): Promise<readonly Way[]> {
  const agent = newAgent();
  cleanUp.push(() => agent.destroy());
  const [near, far] = [await startCauseway(), await startCauseway()];
  cleanUp.push(
    () => near.stop(),
    () => far.stop(),
  );
  const store = await localStore(cleanUp);
  const authorization = `Basic ${Buffer.from('admin:bench').toString('base64')}`;
  const remote = (port: number, name: string): Peer =>
    new HttpPeer({
      url: `http://127.0.0.1:${port}/${name}/`,
      headers: { authorization },
      dispatcher: agent,
    });
  const local = (name: string): Peer => localPeer(store, name);
  const proxies = await Promise.all(
    [near, far].map((server) => startDelayProxy(portOf(server), options.delay / 2)),
  );
  cleanUp.push(...proxies.map((proxy) => () => proxy.close()));
  for (const peer of [remote(portOf(near), 'source'), local('source')]) await fill(peer, options);
  const processes = { near: near.target.pid ?? 0, far: far.target.pid ?? 0, here: process.pid };
  const way = (name: string, source: Peer, target: (round: number) => Peer): Way => ({
    name,
    processes,
    run: async (round) => {
      const spec = { id: name, source, options: { createTarget: true } };
      await startReplication({ ...spec, target: target(round) }).done;
    },
  });
  const [nearPort, farPort] = [portOf(near), portOf(far)];
  const ways = [
    way('server to here', remote(nearPort, 'source'), (round) => local(`pulled${round}`)),
    way('here to server', local('source'), (round) => remote(farPort, `pushed${round}`)),
    way('server to server', remote(nearPort, 'source'), (round) => remote(farPort, `passed${round}`)),
    way('far server to far server', remote(proxies[0]?.port ?? 0, 'source'), (round) =>
      remote(proxies[1]?.port ?? 0, `far${round}`),
    ),
  ];
  return options.couchdb === undefined ? ways : [...ways, await couchdbWay(options, agent, cleanUp)];
}

async function localStore(cleanUp: (() => Promise<unknown>)[]): Promise<Databases> {
  const folder = await mkdtemp(path.join(tmpdir(), 'causeway-bench-'));
  cleanUp.push(() => rm(folder, { recursive: true, force: true }));
  const databases = await Databases.open(
    folder,
    {
      maxOpen: 10,
      memory: 256 << 20,
      writeBuffer: 16 << 20,
      cache: 16 << 20,
      chunkAbove: 4 << 20,
      sync: true,
    },
    {
      compaction: {
        automatic: false,
        minRatio: 2,
        minSlack: 1 << 29,
        minSize: 1 << 20,
        concurrency: 1,
        staleness: 0,
        from: '00:00',
        to: '24:00',
      },
      tasks: new Tasks(),
      log: createLogger({ level: 'silent' }),
    },
  );
  cleanUp.push(() => databases.close());
  return databases;
}

const localPeer = (databases: Databases, name: string): Peer =>
  new LocalPeer({
    name: `http://127.0.0.1/${name}/`,
    access: {
      use: (work) => databases.use(name, work),
      create: async () => {
        await databases.create(name);
      },
    },
    documents: { maxSize: 8_000_000 },
    attachments: { maxSize: 1 << 30, compressible: /^text\//, compressionLevel: 8 },
    filter: () => Promise.reject(new Error('no filters here')),
  });

/** Documents with members of several kinds. */
async function fill(peer: Peer, { documents, size }: Options): Promise<void> {
  await peer.create({}, signal);
  for (let from = 0; from < documents; from += BATCH) {
    const count = Math.min(BATCH, documents - from);
    await peer.write(
      Array.from({ length: count }, (_, at) => document(from + at, size)),
      signal,
    );
  }
}

function document(number: number, size: number): { id: string; rev: string; text: string } {
  const id = `document-${String(number).padStart(8, '0')}`;
  const hash = (number * 7919 + 1).toString(16).padStart(32, 'a');
  const head = `{"_id":"${id}","_rev":"1-${hash}","_revisions":{"start":1,"ids":["${hash}"]},"n":${number},"tags":["a","b"],"nested":{"x":1.5,"y":null}`;
  const words = `word ${number} `.repeat(Math.ceil(size / 8)).slice(0, Math.max(0, size - head.length));
  return { id, rev: `1-${hash}`, text: `${head},"text":"${words}"}` };
}

async function couchdbWay(
  options: Options,
  agent: ReturnType<typeof newAgent>,
  cleanUp: (() => Promise<unknown>)[],
): Promise<Way> {
  const { origin, host, username, password } = new URL(options.couchdb ?? '');
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  const headers = { authorization, 'content-type': 'application/json' };
  const name = `bench-replication-${process.pid}`;
  await fill(
    new HttpPeer({ url: `${origin}/${name}/`, headers: { authorization }, dispatcher: agent }),
    options,
  );
  const drop = (database: string) => fetch(`${origin}/${database}`, { method: 'DELETE', headers });
  cleanUp.push(() => drop(name));
  const urlOf = (database: string): string => `http://${username}:${password}@${host}/${database}`;
  return {
    name: 'CouchDB to itself',
    processes: {},
    async run(round) {
      const target = `${name}-${round}`;
      const body = JSON.stringify({ source: urlOf(name), target: urlOf(target), create_target: true });
      const answer = await fetch(`${origin}/_replicate`, { method: 'POST', headers, body });
      if (answer.status !== 200) throw new Error(await answer.text());
      await answer.text();
      await drop(target);
    },
  };
}

interface Figures {
  readonly rate: number;
  /** By process: microseconds of processor time for a document, and the most anonymous memory in MB. */
  readonly costs: Readonly<Record<string, { readonly cpu: number; readonly memory: number }>>;
}

async function measure(way: Way, round: number, documents: number): Promise<Figures> {
  const processes = Object.entries(way.processes);
  const before = await Promise.all(processes.map(([, pid]) => processorMicroseconds(pid)));
  const watches = processes.map(([, pid]) => new MemoryWatch(pid));
  const start = performance.now();
  await way.run(round);
  const seconds = (performance.now() - start) / 1000;
  const costs = await Promise.all(
    processes.map(async ([name, pid], at) => {
      const cpu = ((await processorMicroseconds(pid)) - (before[at] ?? 0)) / documents;
      const peak = Math.max((await watches[at]?.stop()) ?? 0, await anonymousMemory(pid));
      return [name, { cpu, memory: peak / 1e6 }] as const;
    }),
  );
  return { rate: documents / seconds, costs: Object.fromEntries(costs) };
}

const tell = ({ rate, costs }: Figures): string =>
  [
    `${rate.toFixed(0)} documents a second`,
    ...Object.entries(costs).map(
      ([name, { cpu, memory }]) => `${name} ${cpu.toFixed(0)} µs, ${memory.toFixed(0)} MB`,
    ),
  ].join('; ');

const portOf = ({ target }: Started): number => Number(new URL(target.url).port);

const print = (line: string): void => void process.stdout.write(`${line}\n`);
