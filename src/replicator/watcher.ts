import { hash } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { Waiter } from '../changes/waiter.js';
import type { Config } from '../config/schema.js';
import { CouchError } from '../errors.js';
import type { Logger } from '../observe/log.js';
import type { Databases } from '../store/databases.js';
import type { Database } from '../store/types/database.js';
import { isNoReplication, isReplicatorDatabase, membersOf, type Members } from './documents.js';
import { InvalidReplication } from './invalid.js';
import { type DocumentPlace, type Jobs, type JobSpec, reasonOf, type ScheduledJob } from './jobs.js';
import { isFilterFunction, type Peers } from './peers.js';
import { Places } from './places.js';
import { parseRequest, type ReplicationRequest } from './request.js';
import { iso8601, statistics, type Unscheduled } from './shown.js';
import { completedState, failedState, NO_STATE, type StateFields, writeState } from './states.js';

/** Milliseconds after which a database that could not be read is tried again. */
const TRY_AGAIN = 5000;
/** Documents whose filters are fetched at once. */
const PREPARED_AT_ONCE = 20;
/** Seconds within which one that could not be prepared is tried again, and how often that doubles: CouchDB's. */
const FIRST_RANGE = 64;
const MOST_DOUBLINGS = 12;
/** Seconds after which a filter function is looked at again, about, as in CouchDB. */
const FILTER_CHECK = 60;
/** A database need not wake up for itself: changes do that. */
const SILENCE = 2 ** 31 - 1;

export interface WatcherServices {
  readonly databases: Databases;
  readonly jobs: Jobs;
  readonly peers: Peers;
  /** Read at each use: it may change. */
  readonly config: Pick<Config, 'replication'>;
  readonly log: Pick<Logger, 'error' | 'info' | 'warn'>;
  /** Milliseconds after which filter functions are looked at again; 60,000 and more, as in CouchDB, when left out. */
  readonly filterCheck?: number;
}

/** A document that asks for a replication. */
interface Watched {
  readonly place: DocumentPlace;
  /** Of what it says: a document that says the same still goes on. */
  readonly fingerprint: string;
  readonly stop: AbortController;
  /** Of its replication, once the scheduler has it. */
  replicationId: string | undefined;
  unscheduled: Unscheduled;
}

/** Follows replicator databases, and has run what their documents ask for. */
export class Watcher {
  readonly #stop = new AbortController();
  /** By the name of their database, documents by their ids. */
  readonly #watched = new Map<string, Map<string, Watched>>();
  readonly #followed = new Map<string, Promise<void>>();
  readonly #places = new Places(PREPARED_AT_ONCE);
  /** Whatever else runs. */
  readonly #working = new Set<Promise<void>>();

  constructor(private readonly services: WatcherServices) {}

  start(): void {
    for (const name of this.services.databases.list()) this.follow(name);
  }

  /** From now on, as long as it is there; what is no replicator database is passed over. */
  follow(name: string): void {
    if (!isReplicatorDatabase(name) || this.#followed.has(name) || this.#stop.signal.aborted) return;
    const following = this.#follow(name).finally(() => {
      this.#followed.delete(name);
      // Another of the same name may have been made meanwhile.
      if (this.services.databases.exists(name)) this.follow(name);
    });
    this.#followed.set(name, following);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    for (const documents of this.#watched.values()) for (const { stop } of documents.values()) stop.abort();
    await Promise.all(this.#followed.values());
    await Promise.all(this.#working);
  }

  /** What is known of a document that is not at its end. */
  find({ database, id }: DocumentPlace): Unscheduled | ScheduledJob | undefined {
    const watched = this.#watched.get(database)?.get(id);
    if (watched === undefined) return undefined;
    const { replicationId, unscheduled } = watched;
    return replicationId === undefined ? unscheduled : this.services.jobs.get(replicationId);
  }

  /** The replication that a document asks for, whether or not it is over; undefined where it asks for none. @throws CouchError */
  async specOf(place: DocumentPlace): Promise<JobSpec | undefined> {
    const { databases, config, peers } = this.services;
    if (!databases.exists(place.database)) return undefined;
    const text = await databases.use(place.database, (db) => {
      const record = db.get(place.id);
      return record?.deleted === false ? db.read(record, record.winner) : undefined;
    });
    if (text === undefined) return undefined;
    const members = membersOf(text);
    try {
      const request = parseRequest(members, config.replication);
      const behalf = behalfOf(members);
      const id = await peers.identify(request, behalf, this.#stop.signal);
      return {
        ...behalf,
        id,
        request,
        user: nameIn(members.user_ctx),
        document: place,
        startTime: Date.now(),
      };
    } catch (error) {
      if (error instanceof InvalidReplication) return undefined;
      throw error;
    }
  }

  /** The replication of a document came to its end. */
  completed(place: DocumentPlace, { spec, progress }: ScheduledJob): void {
    const watched = this.#watched.get(place.database)?.get(place.id);
    if (watched?.replicationId !== spec.id.full) return;
    // Of what is over nothing is pending, and CouchDB does not say so.
    const ended = progress && { ...statistics(progress), changes_pending: null };
    const stats = { ...ended, start_time: iso8601(spec.startTime) };
    this.#inBackground(this.#end(watched, completedState(stats)));
  }

  // ---- databases ------------------------------------------------------------------------------------------------

  async #follow(name: string): Promise<void> {
    const { databases, log } = this.services;
    const { signal } = this.#stop;
    const isOver = (): boolean => signal.aborted || !databases.exists(name);
    while (!isOver()) {
      try {
        await databases.use(name, (db) => this.#read(db));
      } catch (error) {
        if (!isOver()) log.error({ err: error, database: name }, 'a replicator database cannot be read');
      }
      if (isOver()) break;
      await pause(TRY_AGAIN, undefined, { signal, ref: false }).catch(() => undefined);
    }
    this.#forgetAll(name);
  }

  /** Reads all documents, then what changes. */
  async #read(db: Database): Promise<void> {
    const waiter = new Waiter(db.events, this.#stop.signal);
    const isOver = (): boolean => waiter.ended;
    let since = 0;
    try {
      while (!isOver()) {
        const until = db.updateSeq;
        for await (const page of db.changes({ since, until, pageSize: 100 })) {
          for (const { text } of page) {
            if (isOver()) return;
            this.#process(db, (JSON.parse(text) as { id: string }).id);
          }
        }
        since = until;
        if (db.updateSeq === until) await waiter.wait(SILENCE);
      }
    } finally {
      waiter.close();
    }
  }

  #forgetAll(name: string): void {
    const documents = this.#watched.get(name);
    this.#watched.delete(name);
    for (const watched of documents?.values() ?? []) this.#cancel(watched);
  }

  // ---- documents ------------------------------------------------------------------------------------------------

  #process(db: Database, id: string): void {
    if (isNoReplication(id)) return;
    const place = { database: db.name, id };
    const record = db.get(id);
    const text = record?.deleted === false ? db.read(record, record.winner) : undefined;
    const members = text === undefined ? undefined : membersOf(text);
    const state = members?._replication_state;
    if (members === undefined || state === 'completed' || state === 'failed') {
      this.#forget(place);
      return;
    }
    // Servers of old wrote states that say nothing here.
    if (state === 'triggered' || state === 'error') this.#inBackground(this.#write(place, NO_STATE, members));
    this.#watch(place, members);
  }

  #watch(place: DocumentPlace, members: Members): void {
    const fingerprint = fingerprintOf(members);
    if (this.#watched.get(place.database)?.get(place.id)?.fingerprint === fingerprint) return;
    this.#forget(place);
    const now = Date.now();
    const watched: Watched = {
      place,
      fingerprint,
      stop: new AbortController(),
      replicationId: undefined,
      unscheduled: {
        state: 'initializing',
        reason: undefined,
        errorCount: 0,
        lastUpdated: now,
        startTime: now,
      },
    };
    this.#documentsOf(place.database).set(place.id, watched);
    try {
      const request = parseRequest(members, this.services.config.replication);
      this.#inBackground(this.#places.during(() => this.#prepare(watched, request, members)));
    } catch (error) {
      if (!(error instanceof InvalidReplication)) throw error;
      this.#inBackground(this.#end(watched, failedState(error.ofDocument)));
    }
  }

  #documentsOf(database: string): Map<string, Watched> {
    const known = this.#watched.get(database) ?? new Map<string, Watched>();
    this.#watched.set(database, known);
    return known;
  }

  #forget({ database, id }: DocumentPlace): void {
    const documents = this.#watched.get(database);
    const watched = documents?.get(id);
    if (documents === undefined || watched === undefined) return;
    documents.delete(id);
    this.#cancel(watched);
  }

  #cancel(watched: Watched): void {
    watched.stop.abort();
    this.#inBackground(this.#remove(watched));
  }

  /** A target that does not answer holds up its own replication alone: nothing else waits for this. */
  async #remove({ replicationId, place }: Watched): Promise<void> {
    const { jobs } = this.services;
    // It may have come to its end, and somebody else have begun the same.
    if (replicationId === undefined || jobs.get(replicationId)?.spec.document !== place) return;
    await jobs.remove(replicationId);
  }

  // ---- from a document to a replication -----------------------------------------------------------------------------

  /** Hands a document's replication to the scheduler, as soon as it is known which it is. */
  async #prepare(watched: Watched, request: ReplicationRequest, members: Members): Promise<void> {
    const isOver = (): boolean => watched.stop.signal.aborted;
    if (isOver()) return;
    try {
      const spec = await this.#specOf(watched, request, members);
      if (isOver()) return;
      await this.#hand(watched, spec);
      if (isFilterFunction(request.options.filter))
        this.#inBackground(this.#followFilter(watched, request, members));
    } catch (error) {
      if (isOver()) return;
      this.#failed(watched, error instanceof CouchError ? error.reason : reasonOf(error));
      this.#later(watched, () => this.#prepare(watched, request, members));
    }
  }

  async #specOf(watched: Watched, request: ReplicationRequest, members: Members): Promise<JobSpec> {
    const behalf = behalfOf(members);
    const id = await this.services.peers.identify(request, behalf, watched.stop.signal);
    const { startTime } = watched.unscheduled;
    return { ...behalf, id, request, user: nameIn(members.user_ctx), document: watched.place, startTime };
  }

  /** With another filter function it is another replication, which sees other documents. */
  async #followFilter(watched: Watched, request: ReplicationRequest, members: Members): Promise<void> {
    const { stop, place, replicationId: former } = watched;
    const isOver = (): boolean => stop.signal.aborted || this.find(place) === undefined;
    const wait = this.services.filterCheck ?? FILTER_CHECK * 1000 * (1 + Math.random());
    while (!isOver()) {
      await pause(wait, undefined, { signal: stop.signal, ref: false }).catch(() => undefined);
      if (isOver()) return;
      // A source that is away is no other source.
      const now = await this.#specOf(watched, request, members).catch(() => undefined);
      if (isOver() || now === undefined || now.id.full === former) continue;
      this.#inBackground(this.#remove(watched));
      watched.replicationId = undefined;
      return this.#prepare(watched, request, members);
    }
  }

  /** @throws CouchError where it cannot be run now */
  async #hand(watched: Watched, spec: JobSpec): Promise<void> {
    const { jobs } = this.services;
    const other = jobs.get(spec.id.full);
    if (other === undefined) {
      watched.replicationId = spec.id.full;
      jobs.add(spec);
      return;
    }
    const { document } = other.spec;
    const which = `Replication \`${spec.id.full}\` specified by document \`${watched.place.id}\``;
    if (document === undefined) {
      const reason = `${which} already running as a transient replication, started via \`_replicate\` API endpoint`;
      throw new CouchError(409, 'conflict', reason);
    }
    const reason = `${which} already started, triggered by document \`${document.id}\` from db \`${document.database}\``;
    await this.#end(watched, failedState(reason));
  }

  #failed(watched: Watched, reason: string): void {
    const { unscheduled, place } = watched;
    const errorCount = unscheduled.errorCount + 1;
    watched.unscheduled = { ...unscheduled, state: 'error', reason, errorCount, lastUpdated: Date.now() };
    this.services.log.warn({ document: place, reason }, 'a replication cannot be begun');
  }

  /** Tries again some time later, all the later the more often it failed. */
  #later({ unscheduled, stop: { signal } }: Watched, work: () => Promise<void>): void {
    const range = FIRST_RANGE * 2 ** Math.min(unscheduled.errorCount, MOST_DOUBLINGS);
    const seconds = 1 + Math.floor(Math.random() * range);
    this.#inBackground(
      pause(seconds * 1000, undefined, { signal, ref: false }).then(
        () => this.#places.during(work),
        () => undefined,
      ),
    );
  }

  // ---- what is written ----------------------------------------------------------------------------------------------

  /** Writes how it ended; until then it is known here. */
  async #end(watched: Watched, fields: StateFields): Promise<void> {
    const { place, fingerprint } = watched;
    await this.#writeMeant(place, fields, fingerprint);
    const documents = this.#watched.get(place.database);
    if (documents?.get(place.id) === watched) documents.delete(place.id);
  }

  #write(place: DocumentPlace, fields: StateFields, members: Members): Promise<void> {
    return this.#writeMeant(place, fields, fingerprintOf(members));
  }

  async #writeMeant(place: DocumentPlace, fields: StateFields, fingerprint: string): Promise<void> {
    try {
      const isMeant = (members: Members): boolean => fingerprintOf(members) === fingerprint;
      await writeState(this.services.databases, place, fields, isMeant);
    } catch (error) {
      if (this.#stop.signal.aborted || !this.services.databases.exists(place.database)) return;
      this.services.log.error(
        { err: error, document: place },
        'the state of a replication could not be written',
      );
    }
  }

  #inBackground(work: Promise<void>): void {
    const settled = work.catch((error: unknown) => {
      this.services.log.error({ err: error }, 'the replicator failed');
    });
    this.#working.add(settled);
    void settled.finally(() => this.#working.delete(settled));
  }
}

/** What a document says besides of how its replication ended. */
function fingerprintOf(members: Members): string {
  const said = Object.entries(members)
    .filter(([name]) => !name.startsWith('_'))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return hash('sha256', JSON.stringify(said), 'base64url');
}

const behalfOf = ({ owner }: Members): Pick<JobSpec, 'as' | 'hasAccount'> => ({
  as: { name: typeof owner === 'string' ? owner : null, roles: [] },
  hasAccount: true,
});

const nameIn = (context: unknown): string | null => {
  const name = typeof context === 'object' && context !== null ? (context as Members).name : undefined;
  return typeof name === 'string' ? name : null;
};
