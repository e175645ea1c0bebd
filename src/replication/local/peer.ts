import type { Database } from '../../store/types/database.js';
import type {
  ChangedDocument,
  ChangesPage,
  ChangesRequest,
  Fetched,
  JsonObject,
  LocalLog,
  MissingRevisions,
  OpenedRevision,
  Peer,
  PeerInfo,
  RevisionText,
  RevisionWithAttachments,
  WriteFailure,
} from '../peer.js';
import { readChanges } from './changes.js';
import { hold } from './hold.js';
import type { LocalPeerOptions } from './options.js';
import { missingRevisions, openRevisions, readRevisions } from './revisions.js';
import { writeRevision, writeRevisions } from './write.js';

/** A database of this server. */
export class LocalPeer implements Peer {
  readonly name: string;

  constructor(protected readonly options: LocalPeerOptions) {
    this.name = options.name;
  }

  info(): Promise<PeerInfo> {
    return this.#use(async (db) => {
      const { docCount, deletedCount, updateSeq, instanceStartTime } = await db.info();
      return {
        updateSeq: db.token(updateSeq),
        isEmpty: docCount + deletedCount === 0,
        instanceStartTime,
      };
    });
  }

  /** Of the parameters one counts; there are no shards that the others could be about. */
  create({ partitioned }: JsonObject): Promise<void> {
    return this.options.access.create({ partitioned: partitioned === true || partitioned === 'true' });
  }

  get(id: string): Promise<JsonObject | undefined> {
    return this.#use((db) => {
      const record = db.get(id);
      const text = record?.deleted === false ? db.read(record, record.winner) : undefined;
      return text === undefined ? undefined : (JSON.parse(text) as JsonObject);
    });
  }

  getLocal(id: string): Promise<LocalLog | undefined> {
    return this.#use((db) => {
      const text = db.getLocal(id)?.text;
      return text === undefined ? undefined : (JSON.parse(text) as LocalLog);
    });
  }

  putLocal(id: string, log: LocalLog): Promise<string> {
    return this.#use((db) => {
      const { _rev: rev, ...rest } = log;
      delete (rest as Record<string, unknown>)._id;
      return db.putLocal(id, typeof rev === 'string' ? rev : undefined, JSON.stringify(rest).slice(1, -1));
    });
  }

  changes(request: ChangesRequest, signal: AbortSignal): Promise<ChangesPage> {
    return this.#use((db) => readChanges(db, request, this.options.filter, signal));
  }

  revsDiff(documents: readonly ChangedDocument[]): Promise<readonly MissingRevisions[]> {
    return this.#use((db) => missingRevisions(db, documents));
  }

  fetch(wanted: readonly MissingRevisions[], signal: AbortSignal): AsyncIterable<readonly Fetched[]> {
    return this.#stream((db) => readRevisions(db, wanted, signal));
  }

  open(wanted: MissingRevisions, signal: AbortSignal): AsyncIterable<OpenedRevision> {
    return this.#stream((db) => openRevisions(db, wanted, signal));
  }

  write(documents: readonly RevisionText[]): Promise<readonly WriteFailure[]> {
    return this.#use((db) => writeRevisions(db, documents, this.options));
  }

  writeWithAttachments(document: RevisionWithAttachments): Promise<void> {
    return this.#use((db) => writeRevision(db, document, this.options));
  }

  ensureFullCommit(): Promise<string> {
    return this.#use(async (db) => {
      await db.ensureFullCommit();
      return (await db.info()).instanceStartTime;
    });
  }

  async close(): Promise<void> {
    return Promise.resolve();
  }

  #use<T>(work: (db: Database) => T | Promise<T>): Promise<T> {
    return this.options.access.use(async (db) => await work(db));
  }

  async *#stream<T>(read: (db: Database) => AsyncIterable<T>): AsyncGenerator<T> {
    const held = await hold(this.options.access);
    try {
      yield* read(held.database);
    } finally {
      await held.release();
    }
  }
}
