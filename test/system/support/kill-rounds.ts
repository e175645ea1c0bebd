import assert from 'node:assert/strict';
import { LevelDatabase } from '../../../src/store/level-database.js';
import type { Changes, Couch, Info } from './couch.js';
import { onDisk, problemsOf } from '../../support/attachments.js';
import { sizesOnDisk } from '../../support/sizes.js';
import { OPTIONS } from '../../support/store.js';
import { documentPath } from './couch.js';
import {
  ARGS,
  Client,
  type Expected,
  type ExpectedLeaf,
  isGone,
  type Known,
  type KnownValue,
  numberOf,
} from './kill-load.js';
import { Random } from './random.js';
import { Restartable } from './restartable.js';
import { inParallel } from './wait.js';

export interface KillOptions {
  readonly seed: number;
  /** The first round, counted from 0: a multiple of ROUNDS_PER_STORE. */
  readonly from?: number;
  /** The first round that is not run any more. */
  readonly to: number;
  /** Called after each round that held. */
  readonly onRound?: (round: RoundReport) => void;
}

export interface RoundReport {
  readonly round: number;
  /** Writes that were acknowledged in it. */
  readonly acknowledged: number;
  /** Documents that were compared after it. */
  readonly documents: number;
  /** Attachments whose bytes were compared. */
  readonly attachments: number;
  /** Compactions that began, and those that ended before the kill. */
  readonly compactions: { readonly begun: number; readonly ended: number };
}

const DATABASES = ['one', 'two'];
const CLIENTS_PER_DATABASE = 4;
/** The store begins anew after so many rounds, so that a long run does not get slower and slower. */
export const ROUNDS_PER_STORE = 20;

/**
 * Kills the server under a load of writes, again and again, and looks after each restart whether it holds every
 * write that it has acknowledged and nothing that nobody wrote. Throws at the first thing that is wrong.
 */
export async function runKillRounds({ seed, from = 0, to, onRound }: KillOptions): Promise<void> {
  for (let first = from; first < to; first += ROUNDS_PER_STORE) {
    const server = await Restartable.start({ args: ARGS });
    try {
      const store = new Store(server, new Random(seed + first));
      await store.create();
      for (let round = first; round < Math.min(to, first + ROUNDS_PER_STORE); round += 1)
        onRound?.({ round, ...(await store.round()) });
      await store.checkFiles();
    } finally {
      await server.remove();
    }
  }
}

/** Works with the files of a database while the server is stopped. */
async function withFiles(folder: string, work: (db: LevelDatabase) => Promise<void>): Promise<void> {
  const db = await LevelDatabase.open('db', folder, `${folder}.copy`, OPTIONS);
  try {
    await work(db);
  } finally {
    await db.close();
  }
}

/** One server with its clients, and what all of them know. */
class Store {
  readonly #clients = new Map<string, Client[]>();
  readonly #made: Maker;
  /** Sequence token → the row that was shown with it. */
  readonly #shown = new Map<string, Map<string, string>>();
  /** Sequence number → the revision that has it, whatever its epoch. */
  readonly #numbers = new Map<string, Map<number, string>>();
  /** Attachments that were read in this round. */
  #attachments = 0;

  constructor(
    private readonly server: Restartable,
    private readonly random: Random,
  ) {
    this.#made = new Maker(server.couch, new Random(random.below(2 ** 32)));
  }

  async create(): Promise<void> {
    for (const database of DATABASES) {
      await this.server.couch.put(`/${database}`);
      this.#shown.set(database, new Map());
      this.#numbers.set(database, new Map());
      this.#clients.set(
        database,
        Array.from(
          { length: CLIENTS_PER_DATABASE },
          (_, n) => new Client(this.server.couch, database, `client${String(n)}`, this.random.below(2 ** 32)),
        ),
      );
    }
    await this.#track();
  }

  /** From now on account is kept of what an upstream has not got, which is everything. */
  async #track(): Promise<void> {
    await this.server.stop();
    for (const database of DATABASES)
      await withFiles(await this.server.folderOf(database), (db) => db.trackUnsent(true));
    await this.server.start();
  }

  /** A load, a kill in the middle of it, a restart, and a look at everything. */
  async round(): Promise<Omit<RoundReport, 'round'>> {
    const clients = [...this.#clients.values()].flat();
    const answered = (): number =>
      clients.reduce((sum, client) => sum + client.answered, this.#made.answered);
    const before = answered();
    const enough = before + 50 + this.random.below(400);
    const { couch } = this.server;
    const watching = new AbortController();
    const feeds = DATABASES.map((database) => this.#watch(couch, database, watching.signal));
    let killed: Promise<void> | undefined;
    const onAnswer = (): void => {
      if (answered() >= enough) killed ??= this.server.kill();
    };
    await Promise.all([...clients.map((client) => client.run(onAnswer)), this.#made.run(onAnswer)]);
    await killed;
    await Promise.all(feeds);
    watching.abort();
    const { stderr } = this.server.program;
    const compactions = {
      begun: stderr.split('a compaction begins').length - 1,
      ended: stderr.split('a compaction has ended').length - 1,
    };
    await this.server.start();

    this.#attachments = 0;
    for (const database of DATABASES) await this.#check(database);
    await this.#made.check();
    const documents = clients.reduce((sum, client) => sum + client.documents.size, 0);
    return {
      acknowledged: answered() - before,
      documents,
      attachments: this.#attachments,
      compactions,
    };
  }

  /** What is in the files: nothing that nobody needs, and what the counters say. */
  async checkFiles(): Promise<void> {
    await this.server.stop();
    for (const database of DATABASES) {
      const folder = await this.server.folderOf(database);
      assert.deepEqual(problemsOf(await onDisk(folder)), [], database);
      const { counted, recounted } = await sizesOnDisk(folder);
      assert.deepEqual(counted, recounted, database);
      await withFiles(folder, async (db) => {
        const { docCount, deletedCount } = await db.info();
        let waiting = 0;
        for await (const page of db.unsent.rows({ since: 0 })) waiting += page.length;
        const documents = docCount + deletedCount;
        assert.deepEqual(
          { waiting, count: db.unsent.count },
          { waiting: documents, count: documents },
          database,
        );
      });
    }
  }

  /** Follows a database until the server is gone: what a feed has shown must stay true. */
  async #watch(couch: Couch, database: string, signal: AbortSignal): Promise<void> {
    try {
      const { body } = await couch.open(
        'GET',
        `/${database}/_changes?feed=continuous&heartbeat=1000&style=all_docs&since=now`,
      );
      let text = '';
      for await (const chunk of body) {
        text += String(chunk);
        const lines = text.split('\n');
        text = lines.pop() ?? '';
        for (const line of lines) if (line !== '') this.#note(database, line);
      }
    } catch (error) {
      if (!isGone(error) && !signal.aborted) throw error;
    }
  }

  /** A token, and a number, stand for one change for ever. */
  #note(database: string, line: string): void {
    const row = JSON.parse(line) as Changes['results'][number];
    const revs = row.changes.map(({ rev }) => rev).sort();
    const content = `${row.id} ${revs.join(' ')}`;
    const shown = this.#shown.get(database);
    const before = shown?.get(row.seq);
    if (before !== undefined)
      assert.equal(content, before, `${database}: the sequence ${row.seq} was given out twice`);
    shown?.set(row.seq, content);
    const numbers = this.#numbers.get(database);
    const number = Number.parseInt(row.seq, 10);
    const taken = numbers?.get(number);
    if (taken !== undefined)
      assert.equal(content, taken, `${database}: the number ${String(number)} was given out twice`);
    numbers?.set(number, content);
  }

  async #check(database: string): Promise<void> {
    const clients = this.#clients.get(database) ?? [];
    const changes = (await this.server.couch.get(
      `/${database}/_changes?style=all_docs&include_docs=true`,
    )) as Changes;
    const expected = new Map(clients.flatMap((client) => [...client.documents]));
    const present = new Set(changes.results.map(({ id }) => id));
    assert.equal(present.size, changes.results.length, `${database}: an id stands twice in the feed`);
    for (const id of present) assert(expected.has(id), `${database}: nobody wrote ${id}`);
    for (const row of changes.results) this.#note(database, JSON.stringify({ ...row, doc: undefined }));
    await this.#checkCounts(database, changes);
    await inParallel([...expected], 16, async ([id, known]) =>
      this.#checkDocument(database, id, known, present.has(id)),
    );
    for (const client of clients)
      for (const [id, known] of client.locals) await this.#checkLocal(database, id, known);
  }

  /** All counts are those of a recount. */
  async #checkCounts(database: string, { results, last_seq, pending }: Changes): Promise<void> {
    const { couch } = this.server;
    const info = (await couch.get(`/${database}`)) as Info;
    const list = (await couch.get(`/${database}/_all_docs?include_docs=true`)) as {
      total_rows: number;
      rows: { id: string; value: { rev: string }; doc: { _rev: string } | null }[];
    };
    const living = results.filter(({ deleted }) => deleted !== true);
    assert.deepEqual(
      list.rows.map(({ id }) => id),
      living.map(({ id }) => id).sort((a, b) => (a < b ? -1 : 1)),
      `${database}: _all_docs and _changes disagree`,
    );
    assert.equal(info.doc_count, living.length, `${database}: doc_count`);
    assert.equal(info.doc_del_count, results.length - living.length, `${database}: doc_del_count`);
    assert.equal(list.total_rows, living.length, `${database}: total_rows`);
    assert.equal(pending, 0);
    assert.equal(info.update_seq, last_seq, `${database}: update_seq`);
    for (const { doc, value } of list.rows)
      assert.equal(doc?._rev, value.rev, `${database}: a body is missing`);
    for (const row of results)
      assert.equal(row.doc?._rev, row.changes[0]?.rev, `${database}: a body of the feed is missing`);
    const numbers = results.map(({ seq }) => Number.parseInt(seq, 10));
    assert.deepEqual(
      numbers,
      numbers.toSorted((a, b) => a - b),
      `${database}: the feed is out of order`,
    );
    const middle = results[Math.floor(results.length / 2)];
    if (!middle) return;
    const page = (await couch.get(`/${database}/_changes?since=${middle.seq}&limit=1`)) as Changes;
    const behind = results.length - Math.floor(results.length / 2) - 1;
    assert.equal(page.pending + page.results.length, behind, `${database}: pending`);
  }

  async #checkDocument(database: string, id: string, known: Known, present: boolean): Promise<void> {
    const found = present ? await this.#leaves(database, id) : [];
    if (matches(found, known.acknowledged)) {
      known.possible = undefined;
    } else {
      const message = `${database}/${id} is\n${JSON.stringify(found)}\nand not\n${JSON.stringify(known)}`;
      assert(known.possible !== undefined && matches(found, known.possible), message);
      known.possible = undefined;
    }
    known.acknowledged = found;
  }

  async #leaves(database: string, id: string): Promise<ExpectedLeaf[]> {
    const path = `${documentPath(database, id)}?open_revs=all&revs=true`;
    const answer = (await this.server.couch.must('GET', path, {
      headers: { accept: 'application/json' },
    })) as {
      ok: {
        _rev: string;
        _deleted?: boolean;
        _attachments?: Record<string, unknown>;
        value?: number;
        _revisions: { start: number; ids: string[] };
      };
    }[];
    return Promise.all(
      answer.map(async ({ ok }) => ({
        revs: ok._revisions.ids.map((hash, n) => `${String(ok._revisions.start - n)}-${hash}`),
        deleted: ok._deleted === true,
        value: ok.value ?? 0,
        files: await this.#files(documentPath(database, id), ok._rev, Object.keys(ok._attachments ?? {})),
      })),
    );
  }

  async #files(document: string, rev: string, names: readonly string[]): Promise<Record<string, number>> {
    const files: Record<string, number> = {};
    for (const name of names) {
      const { statusCode, body } = await this.server.couch.open('GET', `${document}/${name}?rev=${rev}`);
      const content = Buffer.from(await body.arrayBuffer());
      assert.equal(statusCode, 200, `${document}/${name} of ${rev}`);
      files[name] = numberOf(name, content);
      this.#attachments += 1;
    }
    return files;
  }

  async #checkLocal(database: string, id: string, known: KnownValue<number | undefined>): Promise<void> {
    const { status, body } = await this.server.couch.request('GET', documentPath(database, `_local/${id}`));
    const found = status === 404 ? undefined : (body as { value: number }).value;
    settle(known, found, `${database}/_local/${id}`);
  }
}

/** A revision that the server made and could not answer any more stands as `?`. */
function matches(found: Expected, expected: Expected): boolean {
  const line = (leaf: ExpectedLeaf, unnamed: boolean): string =>
    [
      unnamed ? '?' : leaf.revs[0],
      ...leaf.revs.slice(1),
      leaf.deleted,
      leaf.value,
      JSON.stringify(Object.entries(leaf.files ?? {}).sort()),
    ].join(' ');
  const wanted = expected.map((leaf) => line(leaf, false)).sort();
  const open = expected.find((leaf) => leaf.revs[0] === '?');
  const isOpen = (leaf: ExpectedLeaf): boolean =>
    open !== undefined && line(leaf, true) === line(open, true) && !wanted.includes(line(leaf, false));
  const lines = found.map((leaf) => line(leaf, isOpen(leaf))).sort();
  return lines.length === wanted.length && lines.every((text, n) => text === wanted[n]);
}

/** Takes what was found for what is known; it has to be what was acknowledged, or what was asked last. */
function settle<T>(known: KnownValue<T>, found: T, what: string): void {
  if (found !== known.acknowledged) {
    assert(
      known.possible !== undefined && found === known.possible.value,
      `${what} is ${String(found)}, not ${JSON.stringify(known)}`,
    );
  }
  known.acknowledged = found;
  known.possible = undefined;
}

/** Makes and deletes databases, each with one document that says which making it is of. */
class Maker {
  readonly #known = new Map<string, KnownValue<'there' | 'gone'>>();
  /** Databases whose document was acknowledged. */
  readonly #filled = new Set<string>();
  answered = 0;

  constructor(
    private readonly couch: Couch,
    private readonly random: Random,
  ) {}

  async run(onAnswer: () => void): Promise<void> {
    try {
      for (;;) {
        await this.#step(`made-${String(this.random.below(6))}`);
        this.answered += 1;
        onAnswer();
      }
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }

  async #step(name: string): Promise<void> {
    let known = this.#known.get(name);
    if (!known) this.#known.set(name, (known = { acknowledged: 'gone', possible: undefined }));
    const value = known.acknowledged === 'gone' ? 'there' : 'gone';
    known.possible = { value };
    this.#filled.delete(name);
    if (value === 'gone') {
      await this.couch.delete(`/${name}`);
    } else {
      await this.couch.put(`/${name}`);
      // A database that was deleted leaves nothing to the one that is made after it.
      const { doc_count: count, doc_del_count: deleted } = (await this.couch.get(`/${name}`)) as Info;
      assert.deepEqual([count, deleted], [0, 0], `${name} is not new`);
      await this.couch.put(`/${name}/document`, { name });
      this.#filled.add(name);
    }
    known.acknowledged = value;
    known.possible = undefined;
  }

  async check(): Promise<void> {
    const all = (await this.couch.get('/_all_dbs')) as string[];
    assert.deepEqual(all, all.toSorted());
    for (const [name, known] of this.#known) {
      settle(known, all.includes(name) ? 'there' : 'gone', name);
      if (known.acknowledged === 'gone') continue;
      const { status } = await this.couch.request('GET', `/${name}/document`);
      if (this.#filled.has(name)) assert.equal(status, 200, `${name} has lost its document`);
      else assert(status === 200 || status === 404, `${name} answers ${String(status)}`);
    }
    const made = [...DATABASES, '_users', '_replicator'];
    for (const name of all) assert(made.includes(name) || this.#known.has(name), `nobody made ${name}`);
  }
}
