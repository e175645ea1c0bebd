import assert from 'node:assert/strict';
import { cp, rm } from 'node:fs/promises';
import path from 'node:path';
import { temporaryFolder } from '../../support/server.js';
import { ARGS } from './kill-load.js';
import { MirrorClients } from './mirror-clients.js';
import { dropMirror, type Front, mirrorPath, type ShownMirror, shownMirror, startFront } from './mirrored.js';
import { serverTrees } from './pouch.js';
import { Random } from './random.js';
import { rowsOf } from './replication-checks.js';
import { replaceFolder, Restartable } from './restartable.js';
import { RevisionWriter } from './revision-writer.js';
import { difference, leavesOf, type Trees } from './trees.js';
import { until } from './wait.js';

export interface MirrorRounds {
  readonly seed: number;
  /** The first round, counted from 0, and the first that is not run any more. */
  readonly from: number;
  readonly to: number;
  /** Called after each round that held. @returns whether to go on */
  readonly onRound: (round: MirrorRound) => boolean;
}

export interface MirrorRound {
  readonly round: number;
  readonly event: Event;
  /** Documents that were compared, with their attachments. */
  readonly documents: number;
  /** Revisions and documents that somebody was told are written. */
  readonly acknowledged: number;
  readonly kills: number;
  /** Requests to the upstream that something went wrong with. */
  readonly faults: number;
}

/** What happens, besides kills. */
const EVENTS = [
  'nothing',
  'upstream away for long',
  'upstream compacted and purged',
  'gateway restored',
  'clients moved',
  'upstream restored',
] as const;
export type Event = (typeof EVENTS)[number];

const GATEWAYS = 2;
/** Live PouchDB clients of each gateway. */
const CLIENTS = 3;
const KILLS = 3;
const PURGED = 10;
/** Nothing hurries on a busy machine. */
const PATIENCE = { ceiling: 180_000, step: 100 };

/**
 * Two gateways with mirrors of one upstream, over lines that fail. PouchDB clients and replicators write to all three
 * while each process is killed now and then, and one thing more happens. When all is well again the three have the same
 * trees and attachments, with everything in them that anybody was told is written, the clients have the same leaves, and
 * nothing waits. Throws at the first thing that is wrong.
 */
export async function runMirrorRounds({ seed, from, to, onRound }: MirrorRounds): Promise<void> {
  const folder = await temporaryFolder();
  const upstream = await Restartable.start({ args: ARGS });
  const fronts: Front[] = [];
  try {
    for (let n = 0; n < GATEWAYS; n += 1)
      fronts.push(await startFront(upstream, { random: new Random(seed * 7 + n), args: ARGS }));
    for (let round = from; round < to; round += 1) {
      const event = EVENTS[round % EVENTS.length] ?? 'nothing';
      const one = new Round({ upstream, fronts, event, random: new Random(seed + round), folder, round });
      if (!onRound(await one.run())) return;
    }
  } finally {
    for (const { gateway, line } of fronts) {
      await gateway.remove();
      await line.close();
    }
    await upstream.remove();
    await rm(folder, { recursive: true, force: true });
  }
}

interface RoundOptions {
  readonly upstream: Restartable;
  readonly fronts: readonly Front[];
  readonly event: Event;
  readonly random: Random;
  /** For copies of databases. */
  readonly folder: string;
  readonly round: number;
}

class Round {
  readonly #database: string;
  /** Of each server, the upstream first. */
  readonly #writers: readonly RevisionWriter[];
  readonly #clients: readonly MirrorClients[];

  constructor(private readonly options: RoundOptions) {
    const { round, random } = options;
    this.#database = `round-${String(round)}`;
    this.#writers = this.#servers.map(
      ({ couch }) => new RevisionWriter(couch, this.#database, new Random(random.below(2 ** 32)), true),
    );
    // Clients would bring back what was purged.
    const isPurged = options.event === 'upstream compacted and purged';
    this.#clients = isPurged ? [] : options.fronts.map(() => new MirrorClients());
  }

  get #servers(): readonly Restartable[] {
    return [this.options.upstream, ...this.options.fronts.map(({ gateway }) => gateway)];
  }

  async run(): Promise<MirrorRound> {
    const { upstream, fronts, event, round } = this.options;
    await upstream.couch.put(`/${this.#database}`);
    for (let n = 0; n < 20; n += 1) await this.#writers[0]?.write();
    for (const { line } of fronts) {
      line.counts.clear();
      line.spoil();
    }
    try {
      for (const writer of this.#writers) writer.start();
      await Promise.all(this.#clients.map((clients, at) => clients.start(this.#remote(at), this.#names(at))));
      await this.#disturb();
      const written = await Promise.all(this.#clients.map((clients) => clients.settle()));
      await Promise.all(this.#writers.map((writer) => writer.stop()));
      for (const { line } of fronts) line.heal();
      const documents = await this.#finish(written.flat());
      const faults = fronts.flatMap(({ line }) => [...line.counts.values()]);
      const revisions = this.#writers.map((writer) => writer.written.length);
      return {
        ...{ round, event, documents, kills: KILLS },
        acknowledged: [written.flat().length, ...revisions].reduce((sum, count) => sum + count),
        faults: faults.reduce((sum, count) => sum + count, 0),
      };
    } finally {
      await Promise.all(this.#clients.map((clients) => clients.stop()));
      await Promise.all(this.#writers.map((writer) => writer.stop()));
    }
  }

  #remote(at: number): { url: string; auth: Restartable['auth'] } {
    const { gateway } = this.options.fronts[at % GATEWAYS] ?? assert.fail('there is no such gateway');
    return { url: `${gateway.url}/${this.#database}`, auth: gateway.auth };
  }

  #names = (gateway: number): string[] =>
    Array.from(
      { length: CLIENTS },
      (_, n) => `mirror-${String(this.options.round)}-${String(gateway)}-${String(n)}`,
    );

  async #disturb(): Promise<void> {
    const { upstream, fronts, event, random } = this.options;
    const victim = fronts[random.below(fronts.length)]?.gateway ?? upstream;
    const restored = { 'gateway restored': victim, 'upstream restored': upstream }[event as string];
    const copy = path.join(this.options.folder, this.#database);
    // Until then what is written to a gateway is upstream alone.
    if (restored === upstream) await this.#untilWarm();
    const any = (): Restartable => random.pick([upstream, ...fronts.map(({ gateway }) => gateway)]);
    await this.#kill(restored ?? any(), async ({ data }) => {
      if (restored !== undefined) await cp(data, copy, { recursive: true });
    });
    await this.#change();
    await this.#kill(any());
    await this.#kill(restored ?? any(), async (server) => {
      if (restored === undefined) return;
      // A client that was answered notes so a moment later: nobody has put back a disk by then.
      await this.#clients[fronts.findIndex(({ gateway }) => gateway === server)]?.cut();
      await replaceFolder(server.data, copy);
      await rm(copy, { recursive: true });
      // What only it had is lost with its disk.
      this.#writers[this.#servers.indexOf(server)]?.forget();
    });
  }

  async #change(): Promise<void> {
    const { upstream, fronts, event } = this.options;
    if (event === 'upstream away for long') {
      await this.#kill(upstream, () => this.#moreIs(200, fronts));
    } else if (event === 'clients moved') {
      await Promise.all(this.#clients.map((clients, at) => clients.move(this.#remote(at + 1))));
    } else if (event === 'upstream compacted and purged') {
      const rows = await rowsOf(upstream.couch, this.#database);
      const purged = rows.slice(0, PURGED).map(({ id, changes }) => [id, changes.map(({ rev }) => rev)]);
      await upstream.couch.post(`/${this.#database}/_purge`, Object.fromEntries(purged));
      await upstream.couch.post(`/${this.#database}/_compact`, {});
      for (const writer of this.#writers) writer.forget();
    }
  }

  /** Waits until the gateways have taken so many writes more, without the upstream, where they have a copy of all. */
  async #moreIs(count: number, fronts: readonly Front[]): Promise<void> {
    // One that nobody has asked for the database yet cannot say what it is.
    const states = fronts.map(({ gateway }) => this.#shown(gateway).catch(() => undefined));
    const areWarm = (await Promise.all(states)).map((state) => state?.warm === true);
    const warm = fronts.filter((_, at) => areWarm[at]);
    const written = (): number =>
      warm.reduce((sum, { gateway }) => sum + this.#written(this.#servers.indexOf(gateway)), 0);
    const begin = written();
    if (warm.length > 0) await until('writes go on', () => written() - begin > count, PATIENCE);
  }

  #written = (server: number): number => this.#writers[server]?.written.length ?? 0;

  #shown = (gateway: Restartable): Promise<ShownMirror> => shownMirror(gateway, this.#database);

  /** Kills a process in the middle. */
  async #kill(victim: Restartable, whileDead?: (server: Restartable) => Promise<unknown>): Promise<void> {
    const { fronts, random } = this.options;
    const begin = this.#allWritten();
    const enough = 30 + random.below(60);
    await until('writes go on', () => this.#allWritten() - begin > enough, PATIENCE);
    const line = fronts.find(({ gateway }) => gateway === victim)?.line;
    await victim.kill();
    line?.cut();
    await whileDead?.(victim);
    await victim.start();
    line?.spoil();
  }

  #allWritten(): number {
    return this.#writers.reduce((sum, { count }) => sum + count, 0);
  }

  /** @param documents that the clients wrote */
  async #finish(documents: readonly string[]): Promise<number> {
    await this.#untilSame();
    for (const [at, { couch }] of this.#servers.entries()) {
      const server = at === 0 ? 'the upstream' : `gateway ${String(at)}`;
      for (const writer of this.#writers) await requireAll(server, couch, this.#database, writer.written);
      const there = new Set((await rowsOf(couch, this.#database)).map(({ id }) => id));
      assert.deepEqual(
        documents.filter((id) => !there.has(id)),
        [],
        `${server} lacks what clients wrote`,
      );
    }
    const [wanted = {}, ...others] = await Promise.all(
      this.#servers.map(async ({ couch }) => wherever(await serverTrees(couch, this.#database, true))),
    );
    for (const found of others) assert.equal(difference(found, wanted), undefined);
    await this.#clear();
    return Object.keys(wanted).length;
  }

  async #untilWarm(): Promise<void> {
    for (const { gateway, line } of this.options.fronts) {
      line.heal();
      await until('the mirror is warm', async () => (await this.#shown(gateway)).warm, PATIENCE);
      line.spoil();
    }
  }

  /**
   * An upstream that was put back to what it was is another one, until an admin says what is to become of it. A gateway
   * may find out late.
   */
  async #choose(): Promise<void> {
    if (this.options.event !== 'upstream restored') return;
    for (const { gateway } of this.options.fronts) {
      if ((await this.#shown(gateway)).state === 'upstream-replaced')
        await gateway.couch.post(`${mirrorPath(this.#database)}/push-all`, {});
    }
  }

  /** A gateway that passes requests on has what the upstream has, and may be behind for a moment once it does not. */
  async #untilSame(): Promise<void> {
    const areSame = async (): Promise<boolean> => {
      await this.#choose();
      return (await this.#digests()).size === 1;
    };
    const areSettled = async (): Promise<boolean> =>
      (await areSame()) && (await this.#areQuiet()) && (await areSame());
    await until('all have the same leaves, and nothing waits', areSettled, PATIENCE).catch(
      async (cause: unknown) => {
        throw new Error(await this.#describe(), { cause });
      },
    );
  }

  async #areQuiet(): Promise<boolean> {
    for (const { gateway } of this.options.fronts) {
      // Where nobody was let through the bad line, nobody has asked for a mirror yet.
      await gateway.couch.get(`/${this.#database}`);
      const { state, ahead } = await this.#shown(gateway);
      if (state !== 'warm' || ahead !== 0) return false;
    }
    return true;
  }

  async #digests(): Promise<ReadonlySet<string>> {
    const servers = this.#servers.map(async ({ couch }) => leavesOf(await rowsOf(couch, this.#database)));
    const clients = this.#clients.map((one) => one.leaves());
    return new Set([...(await Promise.all(servers)), ...(await Promise.all(clients)).flat()]);
  }

  /** In what the servers, and how the clients, differ. */
  async #describe(): Promise<string> {
    const lines = async ({ couch }: Restartable): Promise<Set<string>> =>
      new Set(leavesOf(await rowsOf(couch, this.#database)).split('\n'));
    const [upstream = new Set<string>(), ...fronts] = await Promise.all(this.#servers.map(lines));
    const shown = fronts.map((front, at) => {
      const more = [...front].filter((line) => !upstream.has(line));
      const less = [...upstream].filter((line) => !front.has(line));
      return `gateway ${String(at + 1)} has ${String(more.length)} ${more.slice(0, 3).join('; ')} and lacks ${String(less.length)} ${less.slice(0, 3).join('; ')}`;
    });
    const states = await Promise.all(this.options.fronts.map(({ gateway }) => this.#shown(gateway)));
    const clients = (await Promise.all(this.#clients.map((one) => one.leaves()))).flat();
    const differing = clients.map((leaves, at) => {
      const own = new Set(leaves.split('\n'));
      const more = [...own].filter((line) => !upstream.has(line));
      const less = [...upstream].filter((line) => !own.has(line));
      return `client ${String(at)} has ${String(more.length)} ${more.slice(0, 3).join('; ')} and lacks ${String(less.length)} ${less.slice(0, 3).join('; ')}`;
    });
    return [...shown, JSON.stringify(states), ...differing].join('\n');
  }

  /** What is deleted upstream is kept here until somebody says so. */
  async #clear(): Promise<void> {
    const { upstream, fronts } = this.options;
    await Promise.all(this.#clients.map((clients) => clients.leave()));
    await upstream.couch.delete(`/${this.#database}`);
    for (const { gateway } of fronts) await dropMirror(gateway, this.#database, PATIENCE);
  }
}

/**
 * Trees, wherever their attachments came from: a PouchDB that passes a revision on, to a gateway that has not got it yet, says
 * that what is attached to it came with it.
 */
const wherever = (trees: Trees): Trees =>
  Object.fromEntries(
    Object.entries(trees).map(([id, tree]) => [id, tree.replaceAll(/,"revpos":[0-9]+/g, '')]),
  );

type Revision = readonly [id: string, rev: string];

async function requireAll(
  server: string,
  couch: Restartable['couch'],
  database: string,
  written: readonly Revision[],
): Promise<void> {
  const revs = new Map<string, string[]>();
  for (const [id, rev] of written) revs.set(id, [...(revs.get(id) ?? []), rev]);
  const lacking = await couch.post(`/${database}/_revs_diff`, Object.fromEntries(revs));
  assert.deepEqual(lacking, {}, `${server} lacks what was acknowledged`);
}
