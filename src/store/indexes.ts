import type { ClassicLevel } from 'classic-level';
import * as layout from './layout.js';
import type { Snapshot } from './level.js';
import { pagesOf } from './pages.js';
import type { WriteGate } from './write-gate.js';

/** What is written as a whole; LevelDB has it in its own memory until then. Must be closed. Keys are the index's own. */
export interface IndexWriter {
  put(key: string, value: string): void;
  delete(key: string): void;
  /** It is not synced. */
  write(): Promise<void>;
  close(): Promise<void>;
}

/** What indexes have stored, as it was at one moment. Must be closed. */
export interface IndexReader {
  /**
   * Readers of one number find the same wherever a key is never written twice. It is another one after an index was
   * removed, or the database was opened again and may have lost what was not synced.
   */
  readonly generation: number;
  /** The values of keys, undefined where there is none. */
  read(keys: readonly string[]): Promise<readonly (string | undefined)[]>;
  close(): Promise<void>;
}

/**
 * Where indexes keep what they work out from the documents: beside these, so that it goes where the database goes. Whoever
 * keeps an index there has to be able to make it anew: a crash may take its last batches, never a part of one.
 */
export interface IndexStore {
  open(): IndexReader;
  /** @throws CouchError where nothing can be written */
  batch(): Promise<IndexWriter>;
  /** The first key of each index: what stands before the first `/`. */
  list(): Promise<readonly string[]>;
  /** Removes whatever an index has stored, in steps, the last keys first. Nothing else may write to it meanwhile. */
  remove(index: string): Promise<void>;
  /** Bytes on the disk, about. */
  size(index: string): Promise<number>;
}

/** What a store of indexes needs of its database. */
export interface IndexHost {
  readonly level: ClassicLevel;
  /** Where the writes of the moment pass. */
  readonly gate: () => WriteGate;
  /** Resolves once writes are taken again after one failed. @throws CouchError where they are not */
  readonly ready: () => Promise<void>;
}

/** Keys removed at a time. */
const PAGE = 1000;

let generations = 0;

export class LevelIndexes implements IndexStore {
  #generation = 0;
  /** Where writes passed when it began. */
  #gate: WriteGate | undefined;

  constructor(private readonly host: IndexHost) {}

  open(): IndexReader {
    const { level } = this.host;
    const snapshot: Snapshot = level.snapshot();
    return {
      generation: this.#generationNow(),
      read: async ([key, ...more]) => {
        if (key === undefined) return [];
        // A path through a tree is read node by node, mostly from LevelDB's cache: threads take four times the processor.
        if (more.length === 0) return [level.getSync(layout.indexes.key(key), { snapshot })];
        return level.getMany(
          [key, ...more].map((one) => layout.indexes.key(one)),
          { snapshot },
        );
      },
      close: () => snapshot.close(),
    };
  }

  #generationNow(): number {
    const gate = this.host.gate();
    if (gate !== this.#gate) {
      this.#gate = gate;
      this.#generation = ++generations;
    }
    return this.#generation;
  }

  async batch(): Promise<IndexWriter> {
    if (this.host.gate().failure !== undefined) await this.host.ready();
    // Where the database is opened again meanwhile, this is still the gate that nothing passes.
    const gate = this.host.gate();
    const batch = this.host.level.batch();
    return {
      put: (key, value) => void batch.put(layout.indexes.key(key), value),
      delete: (key) => void batch.del(layout.indexes.key(key)),
      write: () => gate.run(() => batch.write()),
      close: () => batch.close(),
    };
  }

  async list(): Promise<readonly string[]> {
    const names: string[] = [];
    // From each index on to the first key behind all of its own.
    for (let from = layout.indexes.start; ;) {
      const [key] = await this.host.level.keys({ gte: from, lt: layout.indexes.end, limit: 1 }).all();
      if (key === undefined) return names;
      const [name = ''] = layout.indexes.strip(key).split('/', 1);
      names.push(name);
      from = layout.indexes.key(behind(name));
    }
  }

  async remove(index: string): Promise<void> {
    const keys = this.host.level.keys({ ...rangeOf(index), reverse: true });
    for await (const page of pagesOf(keys, PAGE)) await this.#delete(page);
    this.#gate = undefined;
  }

  async #delete(keys: readonly string[]): Promise<void> {
    const batch = await this.batch();
    try {
      for (const key of keys) batch.delete(layout.indexes.strip(key));
      await batch.write();
    } finally {
      await batch.close();
    }
  }

  size(index: string): Promise<number> {
    const { gte, lt } = rangeOf(index);
    return this.host.level.approximateSize(gte, lt);
  }
}

/** `0` follows `/`. */
const behind = (index: string): string => `${index}0`;

const rangeOf = (index: string): { readonly gte: string; readonly lt: string } => ({
  gte: layout.indexes.key(`${index}/`),
  lt: layout.indexes.key(behind(index)),
});
