import assert from 'node:assert/strict';
import { cp, rm } from 'node:fs/promises';
import path from 'node:path';
import { startFaultyProxy } from '../../support/faulty-proxy.js';
import { temporaryFolder } from '../../support/server.js';
import { BadLine } from './bad-line.js';
import type { Info } from './couch.js';
import { ARGS } from './kill-load.js';
import { serverTrees } from './pouch.js';
import { Random } from './random.js';
import { lackingIn, requireCovered, requireNoneAhead, rowsOf } from './replication-checks.js';
import { ReplicationDriver, type ReplicationBody } from './replication-driver.js';
import { replaceFolder, Restartable } from './restartable.js';
import { RevisionWriter } from './revision-writer.js';
import { difference } from './trees.js';
import { until } from './wait.js';

export interface ReplicationRounds {
  readonly seed: number;
  /** The first round, counted from 0, and the first that is not run any more. */
  readonly from: number;
  readonly to: number;
  /** Called after each round that held. @returns whether to go on */
  readonly onRound: (round: ReplicationRound) => boolean;
}

export interface ReplicationRound {
  readonly round: number;
  readonly way: Way;
  readonly event: Event;
  readonly continuous: boolean;
  /** Documents that were compared, with their attachments. */
  readonly documents: number;
  readonly kills: number;
  /** Kills at which the target lacked something. */
  readonly cut: number;
  /** Documents that checkpoints claimed after the kills: all of them were in the target. */
  readonly claimed: number;
  /** Requests that something went wrong with. */
  readonly faults: number;
}

/** Whose process replicates. */
const WAYS = ['pull', 'push', 'third'] as const;
export type Way = (typeof WAYS)[number];

/** What happens to one side, besides kills. */
const EVENTS = [
  'nothing',
  'source restored',
  'target restored',
  'source made anew',
  'target made anew',
  'source compacted and purged',
] as const;
export type Event = (typeof EVENTS)[number];

const KILLS = 3;
const PURGED = 10;
/** Steps so small that there is a middle to be killed in, and waits so short that a line that fails is soon tried again. */
const TUNING = {
  worker_processes: 2,
  worker_batch_size: 8,
  checkpoint_interval: 40,
  connection_timeout: 1500,
  retries_per_request: 3,
};
/** Nothing hurries on a busy machine. */
const PATIENCE = { ceiling: 120_000, step: 50 };

/**
 * Replicates over lines that fail while the source, the target or the replicating process is killed, and one side
 * becomes what it was before, or another. After each kill no checkpoint may be ahead of the target; in the end it has
 * all that the source has. Throws at the first thing that is wrong.
 */
export async function runReplicationRounds({ seed, from, to, onRound }: ReplicationRounds): Promise<void> {
  const servers: Restartable[] = [];
  const start = async (): Promise<Restartable> => {
    const server = await Restartable.start({ args: ARGS });
    servers.push(server);
    return server;
  };
  const folder = await temporaryFolder();
  try {
    const [source, target] = [await start(), await start()];
    let third: Restartable | undefined;
    for (let round = from; round < to; round += 1) {
      const way = WAYS[(round + Math.floor(round / EVENTS.length)) % WAYS.length] ?? 'third';
      const event = EVENTS[round % EVENTS.length] ?? 'nothing';
      const replicator = way === 'pull' ? target : way === 'push' ? source : (third ??= await start());
      const random = new Random(seed + round);
      const one = new Round({ source, target, replicator, way, event, random, folder, round });
      if (!onRound(await one.run())) return;
    }
  } finally {
    await Promise.all(servers.map((server) => server.remove()));
    await rm(folder, { recursive: true, force: true });
  }
}

interface RoundOptions {
  readonly source: Restartable;
  readonly target: Restartable;
  readonly replicator: Restartable;
  readonly way: Way;
  readonly event: Event;
  readonly random: Random;
  /** For copies of databases. */
  readonly folder: string;
  readonly round: number;
}

class Round {
  readonly #database: string;
  readonly #writer: RevisionWriter;
  readonly #sides: { source: Restartable['couch']; target: Restartable['couch']; database: string };
  #lines: readonly BadLine[] = [];
  #cut = 0;
  #claimed = 0;
  /** Whether the target was never put back to what it was before. */
  #isWhole = true;

  constructor(private readonly options: RoundOptions) {
    const { source, target, round, random } = options;
    this.#database = `round-${String(round)}`;
    this.#writer = new RevisionWriter(source.couch, this.#database, random);
    this.#sides = { source: source.couch, target: target.couch, database: this.#database };
  }

  async run(): Promise<ReplicationRound> {
    const { source, target, replicator, way, event, random, round } = this.options;
    for (const { couch } of [source, target]) await couch.put(`/${this.#database}`);
    for (let n = 0; n < 10; n += 1) await this.#writer.write();
    const line = async ({ port }: Restartable): Promise<BadLine> =>
      new BadLine(await startFaultyProxy(port), new Random(random.below(2 ** 32)));
    const [toSource, toTarget] = [await line(source), await line(target)];
    this.#lines = [toSource, toTarget];
    const continuous = random.next() < 0.5;
    const driver = new ReplicationDriver(
      replicator.couch,
      this.#body(toSource.port, toTarget.port),
      continuous,
      this.#database,
    );
    for (const one of this.#lines) one.spoil();
    this.#writer.start();
    try {
      await this.#disturb();
      await this.#writer.stop();
      for (const one of this.#lines) one.heal();
      await this.#untilCovered();
      await driver.stop();
      const documents = await this.#finish(driver);
      const faults = this.#lines.flatMap(({ counts }) => [...counts.values()]);
      return {
        ...{ round, way, event, continuous, documents, kills: KILLS, cut: this.#cut, claimed: this.#claimed },
        faults: faults.reduce((sum, count) => sum + count, 0),
      };
    } finally {
      driver.abandon();
      await this.#writer.stop();
      for (const one of this.#lines) await one.close();
    }
  }

  #body(toSource: number, toTarget: number): ReplicationBody {
    const { source, target, way } = this.options;
    const endpoint = ({ auth }: Restartable, port: number): object => ({
      url: `http://127.0.0.1:${String(port)}/${this.#database}`,
      auth: { basic: auth },
    });
    return {
      // What is its own a server uses without a line.
      source: endpoint(source, way === 'push' ? source.port : toSource),
      target: endpoint(target, way === 'pull' ? target.port : toTarget),
      ...TUNING,
    };
  }

  /** Kills one process after the other; what happens to a side happens before the last kill, or with it. */
  async #disturb(): Promise<void> {
    const { source, target, replicator, event, random } = this.options;
    const restored = { 'source restored': source, 'target restored': target }[event as string];
    const copy = path.join(this.options.folder, this.#database);
    const any = (): Restartable => random.pick([source, target, replicator]);
    await this.#kill(restored ?? any(), async ({ data }) => {
      if (restored !== undefined) await cp(data, copy, { recursive: true });
    });
    await this.#kill(any());
    await this.#change();
    await this.#kill(restored ?? any(), async (server) => {
      if (restored === undefined) return;
      await this.#restore(server, copy);
      if (restored === target) this.#isWhole = false;
      else this.#writer.forget();
    });
  }

  /** Puts back the folder of the database, or everything that the server has. */
  async #restore(server: Restartable, copy: string): Promise<void> {
    if (this.options.random.next() < 0.5) {
      await replaceFolder(server.data, copy);
    } else {
      const folder = await server.folderOf(this.#database);
      await replaceFolder(folder, path.join(copy, path.relative(server.data, folder)));
    }
    await rm(copy, { recursive: true });
  }

  async #change(): Promise<void> {
    const { source, target, event } = this.options;
    const makeAnew = async ({ couch }: Restartable): Promise<void> => {
      await couch.delete(`/${this.#database}`);
      await couch.put(`/${this.#database}`);
    };
    if (event === 'source made anew') {
      await makeAnew(source);
      this.#writer.forget();
    } else if (event === 'target made anew') {
      await makeAnew(target);
      this.#isWhole = false;
    } else if (event === 'source compacted and purged') {
      const rows = await rowsOf(source.couch, this.#database);
      const purged = rows.slice(0, PURGED).map(({ id, changes }) => [id, changes.map(({ rev }) => rev)]);
      await source.couch.post(`/${this.#database}/_purge`, Object.fromEntries(purged));
      await source.couch.post(`/${this.#database}/_compact`, {});
      this.#writer.forget();
    }
  }

  /** Kills a process in the middle, and looks at the checkpoints before anything else can happen. */
  async #kill(victim: Restartable, whileDead?: (server: Restartable) => Promise<void>): Promise<void> {
    const { replicator, random } = this.options;
    const begin = await this.#targetSeq();
    const enough = 20 + random.below(80);
    await until('the target gets on', async () => (await this.#targetSeq()) - begin > enough, PATIENCE);
    const { program } = replicator;
    await victim.kill();
    for (const line of this.#lines) line.cut();
    requireNoRefusal(program.stderr);
    await whileDead?.(victim);
    await victim.start();
    await this.#writer.stop();
    this.#claimed += await requireNoneAhead(this.#sides, this.#isWhole);
    const lacking = await lackingIn(this.#sides, await rowsOf(this.options.source.couch, this.#database));
    this.#cut += Number(lacking.length > 0);
    this.#writer.start();
    for (const line of this.#lines) line.spoil();
  }

  async #targetSeq(): Promise<number> {
    const { update_seq: seq } = (await this.options.target.couch.get(`/${this.#database}`)) as Info;
    return Number.parseInt(seq, 10);
  }

  async #untilCovered(): Promise<void> {
    const rows = await rowsOf(this.options.source.couch, this.#database);
    const isCovered = async (): Promise<boolean> => (await lackingIn(this.#sides, rows)).length === 0;
    await until('the target has everything', isCovered, PATIENCE);
  }

  /** Both sides are equal, but for what the source has lost, and the replication comes to rest. */
  async #finish(driver: ReplicationDriver): Promise<number> {
    const { source, target, replicator, event } = this.options;
    await driver.once();
    assert.equal((await driver.once()).no_changes, true, 'there is nothing to do any more');
    requireNoRefusal(replicator.program.stderr);
    const passed = await requireNoneAhead(this.#sides, true);
    assert.equal(passed, (await rowsOf(source.couch, this.#database)).length);
    const documents = await requireCovered(this.#sides);
    if (!event.startsWith('source')) {
      const [wanted, found] = await Promise.all(
        [source, target].map(({ couch }) => serverTrees(couch, this.#database, true)),
      );
      assert.equal(difference(found ?? {}, wanted ?? {}), undefined);
    }
    for (const { couch } of [source, target]) await couch.delete(`/${this.#database}`);
    return documents;
  }
}

/** A target that has no reason to refuse anything for good has refused nothing, however the line fails. */
function requireNoRefusal(log: string): void {
  assert.doesNotMatch(log, /^.*a document was refused.*$/m);
}
