import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { Random } from './random.js';
import { Restartable } from './restartable.js';

/** More than go into an index in one step. */
const DOCUMENTS = 4500;
const BATCH = 100;

/** The killed server lives no longer than this under the load, in milliseconds. */
const LONGEST = 700;

/** Rows that share keys and documents with several rows, and each kind of reduction. */
const VIEWS = {
  several: {
    map: 'function (doc) { (doc.tags || []).forEach(function (tag, n) { emit([tag, doc.size], n); }); }',
    reduce: '_stats',
  },
  own: {
    map: 'function (doc) { if (doc.tags) emit(doc.tags[0], doc.size); }',
    reduce: 'function (keys, values) { return sum(values); }',
  },
  bare: { map: 'function (doc) { if (doc.size % 3) emit(doc.size, doc._rev); }' },
};

/** The same rows in an index of its own. */
const viewsNamed = (name: string): object =>
  Object.fromEntries(
    Object.entries(VIEWS).map(([view, functions]) => [
      view,
      { ...functions, map: `${functions.map} // ${name}` },
    ]),
  );

/** What is asked of each view afterwards. */
const QUERIES = [
  '/several?reduce=false',
  '/several?group_level=1',
  '/several?group=true',
  '/several',
  '/own?reduce=false&descending=true',
  '/own?group=true',
  '/own?start_key="c"&end_key="f"',
  '/bare',
];

export interface ViewRound {
  readonly round: number;
  readonly written: number;
  /** Rows that were compared, groups too. */
  readonly rows: number;
  /** Whether an update of an index was under way when the server was last asked before it was killed. */
  readonly isCut: boolean;
}

export interface ViewKills {
  readonly seed: number;
  readonly rounds: number;
  readonly onRound: (round: ViewRound) => void;
}

/**
 * Kills a server that is written to while it builds views, removes some and builds them again; whatever an index was in
 * the middle of, after each restart it has the rows and the reductions of one that is made anew.
 */
export async function runViewKills({ seed, rounds, onRound }: ViewKills): Promise<void> {
  const random = new Random(seed);
  const server = await Restartable.start();
  try {
    await server.couch.put('/db');
    await server.couch.put('/db/_design/kept', { views: viewsNamed('kept') });
    await fill(server, random);
    for (let round = 0; round < rounds; round += 1) {
      const load = new Load(server, random);
      const isDone = load.run(['kept', 'coming']);
      await delay(random.below(LONGEST));
      const isCut = await isBuilding(server);
      await server.kill();
      await isDone;
      await server.start();
      const rows = await compare(server, round);
      onRound({ round, written: load.written, rows, isCut });
    }
  } finally {
    await server.remove();
  }
}

async function isBuilding({ couch }: Restartable): Promise<boolean> {
  const tasks = (await couch.get('/_active_tasks')) as { type: string }[];
  return tasks.some(({ type }) => type === 'indexer');
}

const idOf = (n: number): string => `doc-${String(n).padStart(5, '0')}`;

const documentOf = (n: number, random: Random): Record<string, unknown> => ({
  _id: idOf(n),
  size: random.below(1000),
  tags: Array.from({ length: random.below(4) }, () => random.pick(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'é'])),
});

async function fill({ couch }: Restartable, random: Random): Promise<void> {
  const docs = Array.from({ length: DOCUMENTS }, (_, n) => documentOf(n, random));
  await couch.post('/db/_bulk_docs', { docs });
}

/** Writes and queries until the server is gone. */
class Load {
  written = 0;

  constructor(
    private readonly server: Restartable,
    private readonly random: Random,
  ) {}

  async run(designs: readonly string[]): Promise<void> {
    await Promise.all([
      this.#on(() => this.#write()),
      this.#on(() => this.#flip()),
      ...designs.map((design) => this.#on(() => this.#query(design))),
    ]);
  }

  /** Does something again and again. */
  async #on(step: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        await step();
      } catch {
        if (!(await this.#isThere())) return;
      }
    }
  }

  #isThere(): Promise<boolean> {
    return this.server.couch.get('/').then(
      () => true,
      () => false,
    );
  }

  /** Changes documents and deletes some. */
  async #write(): Promise<void> {
    const { couch } = this.server;
    const from = this.random.below(DOCUMENTS - BATCH);
    const keys = Array.from({ length: BATCH }, (_, n) => idOf(from + n));
    const { rows } = (await couch.post('/db/_all_docs', { keys })) as {
      rows: { value?: { rev: string; deleted?: boolean } }[];
    };
    const docs = rows.map(({ value }, n) => ({
      ...documentOf(from + n, this.random),
      ...(value?.deleted === true || value === undefined
        ? {}
        : { _rev: value.rev, _deleted: this.random.below(5) === 0 }),
    }));
    await couch.post('/db/_bulk_docs', { docs });
    this.written += docs.length;
  }

  async #query(design: string): Promise<void> {
    const update = this.random.pick(['true', 'lazy']);
    const { status, body } = await this.server.couch.request(
      'GET',
      `/db/_design/${design}/_view/own?group=true&update=${update}`,
    );
    assert([200, 404].includes(status), JSON.stringify(body));
  }

  /** A design document that comes, goes with its index, and comes again. */
  async #flip(): Promise<void> {
    const { couch } = this.server;
    const { status, body } = await couch.request('GET', '/db/_design/coming');
    if (status === 200) {
      await couch.delete(`/db/_design/coming?rev=${(body as { _rev: string })._rev}`);
      await couch.post('/db/_view_cleanup', {});
    } else {
      await couch.put('/db/_design/coming', { views: viewsNamed('coming') });
      await couch.get('/db/_design/coming/_view/own?limit=1');
    }
  }
}

/** @returns how many rows were the same */
async function compare({ couch }: Restartable, round: number): Promise<number> {
  const fresh = `fresh${String(round)}`;
  await couch.put(`/db/_design/${fresh}`, { views: viewsNamed(fresh) });
  await couch.request('PUT', '/db/_design/coming', { body: { views: viewsNamed('coming') } });
  let compared = 0;
  for (const query of QUERIES) {
    const { rows: expected } = await rowsOf(couch, fresh, query);
    for (const design of ['kept', 'coming']) {
      const { rows } = await rowsOf(couch, design, query);
      assert.deepEqual(rows, expected, `${design}${query} in round ${String(round)}`);
      compared += rows.length;
    }
  }
  const { _rev: rev } = (await couch.get(`/db/_design/${fresh}`)) as { _rev: string };
  await couch.delete(`/db/_design/${fresh}?rev=${rev}`);
  await couch.post('/db/_view_cleanup', {});
  return compared;
}

const rowsOf = async (
  couch: Restartable['couch'],
  design: string,
  query: string,
): Promise<{ rows: readonly unknown[] }> =>
  (await couch.get(`/db/_design/${design}/_view${query}`)) as { rows: readonly unknown[] };
