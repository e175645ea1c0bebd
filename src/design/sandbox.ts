import { setMaxListeners } from 'node:events';
import { notFound, unavailable } from '../errors.js';
import type { Logger } from '../observe/log.js';
import type { Database } from '../store/types/database.js';
import type { DocumentRecord } from '../store/types/records.js';
import { CagedFunctions } from './functions.js';
import type { Machine } from './job.js';
import { Lists } from './lists.js';
import { Machines, readDesign } from './machines.js';
import { Pool, type PoolListener, type PoolOptions } from './pool.js';
import type { DesignFunctions, MergeFunctions, Sandbox } from './types.js';

/** Runs functions in WebAssembly, in threads of their own. */
export class QuickJsSandbox implements Sandbox {
  readonly #pool: Pool;
  readonly #lists: Lists;
  readonly #machines: Machines;

  /** @param options see `functions` in the schema of the configuration; they may change at any time */
  constructor(options: PoolOptions, log: Logger) {
    const listener: PoolListener = {
      onLog: (line, { database, id }) => log.info({ db: database, ddoc: id, line }, 'a function logged'),
      onCrash: (error, { database, id }) =>
        log.error({ err: error, db: database, ddoc: id }, 'a thread that runs functions ended'),
    };
    this.#pool = new Pool(options, listener);
    this.#lists = new Lists(options, listener);
    this.#machines = new Machines((machine) => {
      this.#pool.drop(machine);
      this.#lists.drop(machine);
    });
  }

  design(db: Database, id: string, signal?: AbortSignal): DesignFunctions {
    const machine = this.#machines.get(db, recordOf(db, id));
    return this.#functions(machine, signal);
  }

  merges(db: Database, id: string): () => MergeFunctions {
    const design = readDesign(db, recordOf(db, id));
    return () => {
      const machine = this.#machines.passing(db, id, design);
      const closing = new AbortController();
      // Each conflict under way listens: those are limited already.
      setMaxListeners(0, closing.signal);
      const functions = this.#functions(machine, closing.signal);
      return {
        merge: (name, conflict) => functions.merge(name, conflict),
        close: () => {
          closing.abort(unavailable('The functions are not used any more.'));
          this.#pool.drop(machine.number);
        },
      };
    };
  }

  async compileViews(db: Database, id: string, design: string): Promise<void> {
    const machine = this.#machines.passing(db, id, design);
    try {
      await this.#functions(machine).compileViews();
    } finally {
      this.#pool.drop(machine.number);
    }
  }

  reset(): void {
    this.#machines.clear();
  }

  async close(): Promise<void> {
    await Promise.all([this.#pool.close(), this.#lists.close()]);
  }

  #functions(machine: Machine, signal?: AbortSignal): CagedFunctions {
    return new CagedFunctions(
      (call) => this.#pool.run(machine, call, signal),
      (call, rows) => this.#lists.run(machine, call, rows),
    );
  }
}

/** @throws CouchError 404 where there is none */
function recordOf(db: Database, id: string): DocumentRecord {
  const record = db.get(id);
  if (record === undefined) throw notFound('missing');
  if (record.deleted) throw notFound('deleted');
  return record;
}
