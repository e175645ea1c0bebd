import { mkdir } from 'node:fs/promises';
import type { ClassicLevel } from 'classic-level';
import { unavailable } from '../../errors.js';
import { asAnswer } from '../../store/failures.js';
import { newLevel, openLevel } from '../../store/level.js';
import { WriteGate } from '../../store/write-gate.js';
import type { Followed } from './leaving.js';
import type { MirrorState } from './state.js';

/** What is kept of a mirror, so that a start goes on where the last run stopped. */
export interface MirrorRecord {
  /** Of the database, here and upstream. */
  readonly name: string;
  /** Whether it caught up with the upstream at least once: from then on it is served from here. */
  readonly isWarm: boolean;
  /** What holds it until somebody decides; undefined where nothing does. */
  readonly held?: Held | undefined;
  /** Which upstream database it belongs to; undefined until it met one. */
  readonly upstream?: UpstreamInstance | undefined;
  /** `instance_start_time` of the database here; undefined until it is made. */
  readonly local?: string | undefined;
  /** The database was here before it was to be a mirror: nothing flows until somebody decides. */
  readonly isFound?: boolean | undefined;
  /** The database has still to be made upstream, with these parameters of a `PUT`. */
  readonly toCreate?: Readonly<Record<string, string>> | undefined;
  /** The upstream was asked to make it, whatever came of that. */
  readonly isAsked?: boolean | undefined;
  /** What is here is being taken away: a start goes on with that. */
  readonly isLeaving?: boolean | undefined;
  /** What is here is to have this name, and be no mirror: a start goes on with that. */
  readonly keptAs?: string | undefined;
  /** It is local from now on, whatever the rules say. */
  readonly isDetached?: boolean | undefined;
  /** `purge_seq` of the upstream database up to which its purges were done here. */
  readonly purgeSeq?: string | number | undefined;
  /** Of a partial mirror: up to where it was seen what left it. */
  readonly followed?: Followed | undefined;
  /** Milliseconds since 1970. */
  readonly created: number;
}

export interface Held {
  readonly state: Extract<
    MirrorState,
    'paused' | 'upstream-missing' | 'upstream-replaced' | 'upstream-differs'
  >;
  readonly reason?: string | undefined;
}

/** Tells an upstream database from others that had its name. */
export interface UpstreamInstance {
  /** What this server's own `_local/causeway-mirror-UUID` holds there. */
  readonly marker: string;
  /** `instance_start_time`, where the server keeps one. */
  readonly startTime?: string | undefined;
}

/** It is written seldom, and read once. */
const MEMORY = { cacheSize: 64 << 10, writeBufferSize: 256 << 10 };

/** What it is called in errors. */
const NAME = 'the list of mirrors';

/** The records of all mirrors, in a LevelDB of their own. Must be closed. */
export class Records {
  readonly #records = new Map<string, MirrorRecord>();
  #level: ClassicLevel;
  #gate = new WriteGate();
  #isClosed = false;
  /** What follows one another: a write that failed has the LevelDB opened anew before the next. */
  #step: Promise<unknown> = Promise.resolve();

  private constructor(private readonly folder: string) {
    this.#level = newLevel(folder, MEMORY);
  }

  /** @throws whatever the disk says */
  static async open(folder: string): Promise<Records> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const records = new Records(folder);
    await openLevel(records.#level);
    for await (const [name, text] of records.#level.iterator())
      records.#records.set(name, JSON.parse(text) as MirrorRecord);
    return records;
  }

  list(): Iterable<MirrorRecord> {
    return this.#records.values();
  }

  get(name: string): MirrorRecord | undefined {
    return this.#records.get(name);
  }

  /** Resolves once it is on disk. @throws CouchError; the former one holds then */
  put(record: MirrorRecord): Promise<void> {
    return this.#write(async (level) => {
      await level.put(record.name, JSON.stringify(record), { sync: true });
      this.#records.set(record.name, record);
    });
  }

  /** Resolves once it is gone for good. @throws CouchError */
  delete(name: string): Promise<void> {
    return this.#write(async (level) => {
      await level.del(name, { sync: true });
      this.#records.delete(name);
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#step;
    await this.#level.close();
  }

  #write(work: (level: ClassicLevel) => Promise<void>): Promise<void> {
    const done = this.#step.then(async () => {
      if (this.#isClosed) throw unavailable('the server is stopping');
      try {
        // What is written behind a write that failed may be lost.
        if (this.#gate.failure !== undefined) await this.#reopen();
        await this.#gate.run(() => work(this.#level));
      } catch (error) {
        throw asAnswer(NAME, error);
      }
    });
    this.#step = done.catch(() => undefined);
    return done;
  }

  async #reopen(): Promise<void> {
    await this.#level.close();
    this.#level = newLevel(this.folder, MEMORY);
    await openLevel(this.#level);
    this.#gate = new WriteGate();
  }
}
