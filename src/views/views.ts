import { notFound, unavailable } from '../errors.js';
import type { DesignFunctions, Sandbox } from '../design/types.js';
import { quote } from '../json/quote.js';
import type { Logger } from '../observe/log.js';
import type { TaskFields, Tasks } from '../observe/tasks.js';
import type { Databases } from '../store/databases.js';
import type { Database } from '../store/types/database.js';
import { readGroup } from './definition.js';
import { fieldMapper } from './field-mapper.js';
import type { ReduceFunction } from './reducers/custom.js';
import { reducerOf } from './reducers/reducers.js';
import { Leftovers } from './leftovers.js';
import { NodeCache } from './node-cache.js';
import { type IndexState, StoredIndex } from './stored-index.js';
import { orderOf, updateIndex } from './update.js';
import type {
  IndexInfo,
  Mapper,
  UpdateMode,
  ViewDefinition,
  ViewGroup,
  ViewReducer,
  ViewSnapshot,
} from './types.js';

/** What indexes are made of and with. */
export interface ViewsContext {
  readonly databases: Pick<Databases, 'use' | 'onDesignChange'>;
  readonly sandbox: Sandbox;
  /** Whether reductions that do not shrink are refused; may change at any time. */
  readonly reduceLimit: () => boolean;
  readonly tasks: Tasks;
  readonly log: Logger;
}

/** An update or a removal under way. */
interface Run {
  readonly done: Promise<void>;
  /** Queries that wait for it. */
  waiting: number;
}

/** The indexes of all databases. Each is brought up to date when somebody asks, by one update at a time. */
export class Views {
  /** By database and signature: each index is written to by one at a time. */
  readonly #runs = new Map<string, Run>();
  readonly #nodes = new NodeCache();
  readonly #stop = new AbortController();
  readonly #leftovers: Leftovers;

  constructor(private readonly context: ViewsContext) {
    const { databases, log } = context;
    this.#leftovers = new Leftovers(
      (name) => databases.use(name, (db) => this.cleanup(db)),
      (error, database) => log.warn({ err: error, database }, 'old indexes could not be removed'),
    );
    databases.onDesignChange((name) => this.#leftovers.note(name));
  }

  /** Ends all updates; what they have written so far stays. */
  async close(): Promise<void> {
    this.#stop.abort(unavailable('The server is stopping.'));
    await Promise.allSettled(Array.from(this.#runs.values(), ({ done }) => done));
    this.#leftovers.close();
  }

  /**
   * The rows of a view: of this moment, or newer, unless `update` says otherwise.
   * @param id of the design document
   * @throws CouchError 404 where there is no such view, or what updating the index threw
   */
  async open(db: Database, id: string, name: string, update: UpdateMode): Promise<ViewSnapshot> {
    const group = readGroup(db, id);
    const at = group.views.findIndex((view) => view.name === name);
    const view = group.views[at];
    if (view === undefined) throw notFound('missing_named_view');
    const reducer = this.#reducer(view, () => this.#functions(db, group));
    if (update === 'lazy') this.#updateLater(db, group);
    const { index, state } = await this.#opened(db, group, update === 'true');
    return {
      view,
      reducer,
      ...orderOf(group, view),
      root: state?.roots[at],
      nodes: index,
      updateSeq: state?.seq ?? 0,
      close: () => index.close(),
    };
  }

  /** What is known of the index of a design document. @throws CouchError 404 */
  async info(db: Database, id: string): Promise<IndexInfo> {
    const { signature, language } = readGroup(db, id);
    const run = this.#runs.get(keyOf(db, signature));
    const { index, state } = await openIndex(db, signature, this.#nodes);
    await index.close();
    const seq = state?.seq ?? 0;
    const file = await db.indexes.size(signature);
    const active = state?.roots.reduce((sum, root) => sum + (root?.size ?? 0), 0) ?? 0;
    return {
      signature,
      language,
      updaterRunning: run !== undefined,
      waitingClients: run?.waiting ?? 0,
      updateSeq: seq,
      purgeSeq: state?.purgeSeq ?? 0,
      pending: await db.pending(seq),
      sizes: { file, external: active, active },
    };
  }

  /** Removes the indexes that no design document wants any more. */
  async cleanup(db: Database): Promise<void> {
    const wanted = new Set<string>();
    const { pages } = await db.list({
      start: '_design/',
      end: '_design0',
      inclusiveEnd: false,
      offset: false,
    });
    for await (const page of pages) {
      // One may have been deleted since.
      const there = page.filter(({ id }) => db.get(id)?.deleted === false);
      for (const { id } of there) wanted.add(readGroup(db, id).signature);
    }
    for (const index of await db.indexes.list()) {
      const key = keyOf(db, index);
      if (!wanted.has(index) && !this.#runs.has(key)) await this.#begin(key, db.indexes.remove(index)).done;
    }
  }

  // ---- updates ------------------------------------------------------------------------------------------------

  async #opened(db: Database, group: ViewGroup, isFresh: boolean): Promise<OpenIndex> {
    const wanted = { seq: db.updateSeq, purgeSeq: db.purgeSeq };
    for (;;) {
      const opened = await openIndex(db, group.signature, this.#nodes);
      if (!isFresh || reaches(opened.state, wanted)) return opened;
      await opened.index.close();
      await this.#waitFor(this.#run(db, group));
    }
  }

  async #waitFor(run: Run): Promise<void> {
    run.waiting++;
    try {
      await run.done;
    } finally {
      run.waiting--;
    }
  }

  #updateLater(db: Database, group: ViewGroup): void {
    this.#run(db, group).done.catch((error: unknown) => {
      this.context.log.warn(
        { err: error, database: db.name, design: group.id },
        'views could not be updated',
      );
    });
  }

  /** What runs, or an update that begins. */
  #run(db: Database, group: ViewGroup): Run {
    const key = keyOf(db, group.signature);
    return this.#runs.get(key) ?? this.#begin(key, this.#update(db, group));
  }

  #begin(key: string, work: Promise<void>): Run {
    const run = { done: work.finally(() => this.#runs.delete(key)), waiting: 0 };
    this.#runs.set(key, run);
    return run;
  }

  async #update(db: Database, group: ViewGroup): Promise<void> {
    this.#stop.signal.throwIfAborted();
    const functions = this.#functions(db, group);
    const mapper: Mapper = group.language === 'query' ? fieldMapper(group) : functions;
    const reducers = group.views.map((view) => this.#reducer(view, () => functions));
    const task = this.context.tasks.begin(taskOf(db, group));
    const { signal } = this.#stop;
    try {
      // It goes on when the queries that wait for it have gone.
      await this.context.databases.use(db.name, async (open) => {
        const onStep = ({ seq }: IndexState): void => task.update(progress(seq, open.updateSeq));
        await updateIndex({ db: open, group, mapper, reducers, signal, onStep });
      });
    } finally {
      task.end();
      // What was left behind before a restart goes with what is left behind now.
      this.#leftovers.note(db.name);
    }
  }

  // ---- functions ----------------------------------------------------------------------------------------------

  #functions(db: Database, { id }: ViewGroup): DesignFunctions {
    return this.context.sandbox.design(db, id);
  }

  #reducer({ name, reduce }: ViewDefinition, functions: () => DesignFunctions): ViewReducer | undefined {
    if (reduce === undefined) return undefined;
    return reducerOf(
      reduce,
      (source) => reduceFunction(functions(), name, source),
      this.context.reduceLimit(),
    );
  }
}

interface OpenIndex {
  readonly index: StoredIndex;
  readonly state: IndexState | undefined;
}

async function openIndex(db: Database, signature: string, nodes: NodeCache): Promise<OpenIndex> {
  const index = new StoredIndex(db.indexes, signature, nodes);
  try {
    return { index, state: await index.state() };
  } catch (error) {
    await index.close();
    throw error;
  }
}

const reaches = (
  state: IndexState | undefined,
  wanted: { readonly seq: number; readonly purgeSeq: number },
): boolean => state !== undefined && state.seq >= wanted.seq && state.purgeSeq >= wanted.purgeSeq;

const keyOf = (db: Database, signature: string): string => `${db.name}\n${signature}`;

const taskOf = (db: Database, { id }: ViewGroup): TaskFields => ({
  type: 'indexer',
  database: db.name,
  design_document: id,
  ...progress(0, db.updateSeq),
});

const progress = (done: number, total: number): TaskFields => ({
  changes_done: Math.min(done, total),
  total_changes: total,
  progress: total === 0 ? 100 : Math.floor((100 * Math.min(done, total)) / total),
});

const reduceFunction = (functions: DesignFunctions, view: string, source: string): ReduceFunction => ({
  source,
  reduce: (runs) =>
    functions.reduce(
      view,
      runs.map((rows) => ({
        keys: `[${rows.map(({ key, id }) => `[${key},${quote(id)}]`).join(',')}]`,
        values: `[${rows.map(({ value }) => value).join(',')}]`,
      })),
      false,
    ),
  rereduce: (runs) =>
    functions.reduce(
      view,
      runs.map((parts) => ({ keys: 'null', values: `[${parts.join(',')}]` })),
      true,
    ),
});
