import { notFound } from '../errors.js';
import type { Logger } from '../observe/log.js';
import type { Database } from '../store/types.js';
import { CagedFunctions } from './functions.js';
import type { Machine } from './job.js';
import { Pool } from './pool.js';
import type { DesignFunctions, Sandbox } from './types.js';

/** See `functions` in the schema of the configuration; they may change at any time. */
export interface SandboxOptions {
  readonly timeout: number;
  readonly memory: number;
  readonly maxOutput: number;
  readonly maxKept: number;
  readonly slowThreads: number;
}

/** Runs functions in WebAssembly, in threads of their own. */
export class QuickJsSandbox implements Sandbox {
  readonly #pool: Pool;
  /** By database and design document. */
  readonly #machines = new Map<string, Machine & { readonly seq: number }>();
  #count = 0;

  constructor(options: SandboxOptions, log: Logger) {
    this.#pool = new Pool(options, (line, database) => log.info({ database }, `function: ${line}`));
  }

  design(db: Database, id: string): DesignFunctions {
    const record = db.get(id);
    if (record === undefined) throw notFound('missing');
    if (record.deleted) throw notFound('deleted');
    const database = `${db.name}\n${db.instanceStartTime}`;
    const key = `${database}\n${id}`;
    let machine = this.#machines.get(key);
    // Every change of the document has a sequence of its own, even one that writes a revision anew.
    if (machine?.seq !== record.seq) {
      const design = db.read(record, record.winner);
      if (design === undefined) throw notFound('missing');
      if (machine !== undefined) this.#pool.drop(machine.number);
      machine = { number: ++this.#count, design, database, slowUntil: 0, seq: record.seq };
      this.#machines.set(key, machine);
    }
    const wanted = machine;
    return new CagedFunctions((call) => this.#pool.run(wanted, call));
  }

  reset(): void {
    for (const { number } of this.#machines.values()) this.#pool.drop(number);
    this.#machines.clear();
  }

  close(): Promise<void> {
    return this.#pool.close();
  }
}
