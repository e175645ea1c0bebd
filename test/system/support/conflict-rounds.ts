import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { PASSING_FAULTS } from './bad-line.js';
import { type OnDisk, type Outcome, readDisk, requireResolved } from './conflict-checks.js';
import { type ConflictClient, ConflictClients } from './conflict-clients.js';
import { type Couch, couchAt, type Info, load } from './couch.js';
import { dropMirror, type Front, shownMirror, startFront } from './mirrored.js';
import { serverTrees } from './pouch.js';
import { Random } from './random.js';
import { rowsOf } from './replication-checks.js';
import { Restartable } from './restartable.js';
import { difference, leavesOf } from './trees.js';
import { inParallel, until } from './wait.js';

export interface ConflictRounds {
  readonly seed: number;
  /** The first round, counted from 0, and the first that is not run any more. */
  readonly from: number;
  readonly to: number;
  /** How often lines, clients and gateways are cut off from each other in a round. */
  readonly partitions: number;
  /** Milliseconds without a write once everything is the same. */
  readonly watch: number;
  /** Address of a CouchDB as upstream, with an admin's name and password; another Causeway when left out. */
  readonly couchdb?: string | undefined;
  /** Called after each round that held. @returns whether to go on */
  readonly onRound: (round: ConflictRound) => boolean;
}

export interface ConflictRound extends Outcome {
  readonly round: number;
  /** Edits that clients were told are written. */
  readonly acknowledged: number;
  readonly kills: number;
  /** Requests to the upstream that something went wrong with. */
  readonly faults: number;
}

const GATEWAYS = 2;
/** Of each server: clients with a replica, and clients without. */
const REPLICAS = 2;
const ONLINE = 1;
/** Milliseconds between two edits of a client. */
const REST = 150;
/** How many documents there are of each kind: conflict-clients.mjs says what is done to them. */
const KINDS = { counted: 24, filed: 8, titled: 4, mortal: 4, born: 4 };
const IDS = Object.entries(KINDS).flatMap(([kind, count]) =>
  Array.from({ length: count }, (_, n) => `${kind} ${String(n)}`),
);

/** All that clients do can be merged, but for titles that two of them change. */
const MERGE = {
  function: 'three-way',
  fields: {
    '/said': 'set',
    '/n': 'counter',
    '/lines': { list: { key: 'key' } },
    '/lines/*/count': 'counter',
  },
};
/** Milliseconds for which a conflict waits for what replication may bring; where nothing is written for longer, nothing will be. */
const PATIENCE_OF_GATEWAYS = 1000;
const QUIET = 3 * PATIENCE_OF_GATEWAYS;

/** Nothing hurries on a busy machine. */
const PATIENCE = { ceiling: 180_000, step: 100 };

/** The server behind the gateways. */
interface Back {
  readonly url: string;
  readonly auth: Restartable['auth'];
  readonly couch: Couch;
}

/**
 * Two gateways that merge by the same rule, and their upstream, which merges nothing. Clients of all three edit the same
 * documents while lines are cut and gateways killed. When all is well again each document has one leaf, the same
 * everywhere, or both gateways say why not; whatever clients were told is written is there and counts once; what merges
 * took away is in a journal; and nothing is written any more. Throws at the first thing that is wrong.
 */
export async function runConflictRounds(options: ConflictRounds): Promise<void> {
  const { seed, from, to, couchdb, onRound } = options;
  const own = couchdb === undefined ? await Restartable.start() : undefined;
  const upstream = own ?? couchAt(couchdb ?? '');
  const fronts: Front[] = [];
  try {
    const env = {
      CAUSEWAY_DATABASES: JSON.stringify([{ match: '*', mode: 'mirror', merge: MERGE }]),
      CAUSEWAY_CONFLICTS_PATIENCE: String(PATIENCE_OF_GATEWAYS),
    };
    for (let n = 0; n < GATEWAYS; n += 1) {
      const random = new Random(seed * 7 + n);
      fronts.push(await startFront(upstream, { random, env, kinds: PASSING_FAULTS }));
    }
    for (let round = from; round < to; round += 1) {
      const one = new Round({ ...options, upstream, fronts, random: new Random(seed + round), round });
      const ended = one.run().finally(() => one.end());
      const held = await ended.catch((cause: unknown) => {
        throw new Error(`round ${String(round + 1)} of seed ${String(seed)}`, { cause });
      });
      if (!onRound(held) || round + 1 === to) return;
      await one.clear();
    }
  } finally {
    for (const { gateway, line } of fronts) {
      await gateway.remove();
      await line.close();
    }
    await own?.remove();
    if (own === undefined) await upstream.couch.close();
  }
}

interface RoundOptions extends Pick<ConflictRounds, 'seed' | 'partitions' | 'watch'> {
  readonly upstream: Back;
  readonly fronts: readonly Front[];
  readonly random: Random;
  readonly round: number;
}

class Round {
  readonly #database: string;
  readonly #clients = new ConflictClients();
  readonly #names: readonly string[];
  #kills = 0;

  constructor(private readonly options: RoundOptions) {
    const { seed, round } = options;
    this.#database = `conflicts-${String(seed)}-${String(round)}`;
    this.#names = this.#servers.flatMap((_, server) =>
      Array.from({ length: REPLICAS }, (_, n) => `r${String(server)}${String(n)}`),
    );
  }

  /** The upstream first. */
  get #servers(): readonly Back[] {
    return [this.options.upstream, ...this.options.fronts.map(({ gateway }) => gateway)];
  }

  async run(): Promise<ConflictRound> {
    const { upstream, fronts, partitions, round } = this.options;
    await upstream.couch.put(`/${this.#database}`);
    for (const { line } of fronts) line.counts.clear();
    // Clients begin the others by themselves, without an ancestor in common.
    const docs = IDS.filter((id) => !id.startsWith('born')).map((_id) => ({
      _id,
      said: [],
      n: 0,
      lines: [],
    }));
    await load(upstream.couch, this.#database, docs);
    await this.#warmUp();
    await this.#clients.start(this.#servers.flatMap((server, at) => this.#clientsOf(server, at)));
    for (let n = 0; n < partitions; n += 1) await this.#part();
    const edits = await this.#clients.settle();
    await this.#join();
    const trees = await this.#settle();
    const gateways = await this.#readDisks();
    const outcome = requireResolved({ trees, edits, gateways });
    const faults = fronts.flatMap(({ line }) => [...line.counts.values()]);
    return {
      ...{ round, ...outcome, kills: this.#kills },
      acknowledged: edits.filter(({ isAcknowledged }) => isAcknowledged).length,
      faults: faults.reduce((sum, count) => sum + count, 0),
    };
  }

  async #warmUp(): Promise<void> {
    for (const { gateway, line } of this.options.fronts) {
      line.heal();
      await gateway.couch.get(`/${this.#database}`);
      await until('it is warm', async () => (await shownMirror(gateway, this.#database)).warm, PATIENCE);
    }
  }

  #clientsOf({ url, auth }: Back, server: number): ConflictClient[] {
    const { random } = this.options;
    return Array.from({ length: REPLICAS + ONLINE }, (_, n) => ({
      name: n < REPLICAS ? `r${String(server)}${String(n)}` : `o${String(server)}${String(n)}`,
      ...{ url: `${url}/${this.#database}`, auth },
      isOnline: n >= REPLICAS,
      rest: REST,
      ids: IDS,
      choices: Array.from({ length: 997 }, () => random.below(2 ** 31)),
    }));
  }

  /** Cuts some off from others, kills a gateway or not, and lets all of them meet again while they go on. */
  async #part(): Promise<void> {
    const { fronts, random } = this.options;
    for (const { line } of fronts) {
      const fate = random.below(3);
      if (fate === 0) line.cut();
      else if (fate === 1) line.spoil();
      else line.heal();
    }
    await this.#clients.connect(this.#names.filter(() => random.below(2) === 0));
    const victim = fronts[random.below(2 * fronts.length)]?.gateway;
    await this.#edits();
    if (victim !== undefined) {
      this.#kills += 1;
      await victim.kill();
      await this.#edits();
      await victim.start();
    }
    await this.#edits();
    await this.#join(() => random.below(3) > 0);
    await this.#edits();
  }

  /** Waits until clients have edited some more. */
  async #edits(): Promise<void> {
    const enough = (await this.#clients.count()) + 20 + this.options.random.below(40);
    await until('edits go on', async () => (await this.#clients.count()) > enough, PATIENCE);
  }

  async #join(isChosen = (): boolean => true): Promise<void> {
    for (const { line } of this.options.fronts) if (isChosen()) line.heal();
    await this.#clients.connect(this.#names.filter(isChosen));
  }

  /** Waits until all have the same and nobody writes, and sees that it stays so. @returns the trees of all */
  async #settle(): Promise<Awaited<ReturnType<typeof serverTrees>>> {
    let seen = '';
    let since = performance.now();
    const isQuiet = async (): Promise<boolean> => {
      const [digests, seqs] = [await this.#digests(), await this.#seqs()];
      const now = digests.size === 1 ? seqs : '';
      if (now !== seen || now === '') since = performance.now();
      seen = now;
      return performance.now() - since > QUIET && (await this.#nothingWaits());
    };
    await until('all have the same, and nobody writes', isQuiet, PATIENCE).catch(async (cause: unknown) => {
      throw new Error(await this.#describe(), { cause });
    });
    await pause(this.options.watch);
    const later = await this.#seqs();
    if (later !== seen)
      assert.fail(
        `something was written later: ${later} after ${seen}\n${(await this.#latest(seen)).join('\n')}`,
      );
    const [wanted = {}, ...others] = await Promise.all(
      this.#servers.map(({ couch }) => serverTrees(couch, this.#database, true)),
    );
    for (const found of others) assert.equal(difference(found, wanted), undefined);
    return wanted;
  }

  /** The sequence of each server. */
  async #seqs(): Promise<string> {
    const infos = this.#servers.map(async ({ couch }) => (await couch.get(`/${this.#database}`)) as Info);
    return (await Promise.all(infos)).map(({ update_seq }) => Number.parseInt(update_seq, 10)).join(' ');
  }

  async #nothingWaits(): Promise<boolean> {
    const shown = this.options.fronts.map(({ gateway }) => shownMirror(gateway, this.#database));
    return (await Promise.all(shown)).every(({ state, ahead }) => state === 'warm' && ahead === 0);
  }

  async #digests(): Promise<ReadonlySet<string>> {
    const servers = this.#servers.map(async ({ couch }) => leavesOf(await rowsOf(couch, this.#database)));
    const replicas = (await this.#clients.leaves()).map(([, leaves]) => leaves);
    return new Set([...(await Promise.all(servers)), ...replicas]);
  }

  /** What each server wrote last. */
  #latest(before: string): Promise<string[]> {
    const counts = before.split(' ').map(Number);
    return inParallel(this.#servers, 3, async ({ couch }, at) => {
      const rows = await rowsOf(couch, this.#database);
      const later = rows.filter(({ seq }) => Number.parseInt(seq, 10) > (counts[at] ?? 0));
      return `${this.#nameOf(at)}: ${JSON.stringify(later)}`;
    });
  }

  #nameOf = (server: number): string => (server === 0 ? 'the upstream' : `gateway ${String(server)}`);

  /** In what servers and replicas differ from the upstream. */
  async #describe(): Promise<string> {
    const linesOf = (leaves: string): Set<string> => new Set(leaves.split('\n'));
    const servers = this.#servers.map(
      async ({ couch }, at) => [this.#nameOf(at), leavesOf(await rowsOf(couch, this.#database))] as const,
    );
    const all = [...(await Promise.all(servers)), ...(await this.#clients.leaves())];
    const wanted = linesOf(all[0]?.[1] ?? '');
    const lines = all.map(([name, leaves]) => {
      const own = linesOf(leaves);
      const more = [...own].filter((line) => !wanted.has(line));
      const less = [...wanted].filter((line) => !own.has(line));
      return more.length + less.length === 0
        ? `${name} has what the upstream has`
        : `${name} has\n  ${more.join('\n  ')}\nand lacks\n  ${less.join('\n  ')}`;
    });
    const shown = this.options.fronts.map(({ gateway }) =>
      gateway.couch.get(`/_gateway/databases/${this.#database}`),
    );
    return [...lines, JSON.stringify(await Promise.all(shown)), `sequences: ${await this.#seqs()}`].join(
      '\n',
    );
  }

  /** Kills the gateways: what they have of merges has to be on their disks. */
  async #readDisks(): Promise<readonly OnDisk[]> {
    const disks = [];
    for (const { gateway } of this.options.fronts) {
      await gateway.kill();
      disks.push(await readDisk(gateway.data, this.#database));
    }
    return disks;
  }

  /** However it went. */
  async end(): Promise<void> {
    await this.#clients.stop();
    await this.options.upstream.couch.request('DELETE', `/${this.#database}`);
  }

  /** Another round follows one that held. */
  async clear(): Promise<void> {
    for (const { gateway } of this.options.fronts) {
      await gateway.start();
      await dropMirror(gateway, this.#database, PATIENCE);
    }
  }
}
