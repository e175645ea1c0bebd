import { notFound } from '../errors.js';
import type { Logger } from '../observe/log.js';
import type { Database } from '../store/types.js';
import { CagedFunctions } from './functions.js';
import { Machines } from './machines.js';
import { Pool, type PoolOptions } from './pool.js';
import type { DesignFunctions, Sandbox } from './types.js';

/** Runs functions in WebAssembly, in threads of their own. */
export class QuickJsSandbox implements Sandbox {
  readonly #pool: Pool;
  readonly #machines: Machines;

  /** @param options see `functions` in the schema of the configuration; they may change at any time */
  constructor(options: PoolOptions, log: Logger) {
    this.#pool = new Pool(options, {
      onLog: (line, { database, id }) => log.info({ db: database, ddoc: id, line }, 'a function logged'),
      onCrash: (error, { database, id }) =>
        log.error({ err: error, db: database, ddoc: id }, 'a thread that runs functions ended'),
    });
    this.#machines = new Machines((machine) => this.#pool.drop(machine));
  }

  design(db: Database, id: string): DesignFunctions {
    const record = db.get(id);
    if (record === undefined) throw notFound('missing');
    if (record.deleted) throw notFound('deleted');
    const machine = this.#machines.get(db, record);
    return new CagedFunctions((call) => this.#pool.run(machine, call));
  }

  async compileViews(db: Database, id: string, design: string): Promise<void> {
    const machine = this.#machines.passing(db, id, design);
    try {
      await new CagedFunctions((call) => this.#pool.run(machine, call)).compileViews();
    } finally {
      this.#pool.drop(machine.number);
    }
  }

  reset(): void {
    this.#machines.clear();
  }

  close(): Promise<void> {
    return this.#pool.close();
  }
}
