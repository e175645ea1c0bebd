import { conflict, CouchError, unavailable } from '../errors.js';
import { purge } from '../revtree/purge.js';
import { Staging } from './attachments/staging.js';
import { BatchOrder } from './batch-order.js';
import type { BodyFacts } from './body-facts.js';
import { compactDocuments, type CompactionPortion, type CompactionProgress } from './compact.js';
import { resolveConflict } from './conflicts/resolve.js';
import type { Resolved, ResolveOptions, ResolvingWrites } from './conflicts/types.js';
import { localRev } from './document.js';
import { accepted, hasBody, type Judged, Judging, resultsOf } from './judging.js';
import * as layout from './layout.js';
import { LevelHost, type LevelOptions } from './level-host.js';
import { requireInPartition } from './partitions.js';
import { type Portion, portions } from './portions.js';
import { purgesUpTo } from './purges.js';
import * as keys from './state.js';
import { DocumentCuts, tidy } from './tidy.js';
import type { Transaction } from './transaction.js';
import type { Database } from './types/database.js';
import type { DocumentEdit, EditResult, Origin, WriteOptions } from './types/edits.js';
import type { Rules } from './types/rules.js';
import type { DatabaseWatcher } from './types/watcher.js';
import type { WriteTask } from './writer.js';

/** A database in a LevelDB folder of PouchDB's layout. The only one that may have the folder open. */
export class LevelDatabase extends LevelHost implements Database {
  /** The compaction that is running. */
  #compaction: Promise<void> | undefined;
  readonly #stopCompaction = new AbortController();

  /** Opens a database, making it where the folder is empty or missing. */
  static async open(
    name: string,
    folder: string,
    markerFile: string,
    options: LevelOptions,
    watcher?: DatabaseWatcher,
  ): Promise<LevelDatabase> {
    const database = new LevelDatabase(name, folder, markerFile, options, watcher);
    try {
      await database.load();
    } catch (error) {
      await database.level.close();
      throw error;
    }
    return database;
  }

  override get isClosed(): boolean {
    return super.isClosed || this.#stopCompaction.signal.aborted;
  }

  override async close(): Promise<void> {
    this.events.close();
    // It writes, too; whoever asked for it hears of its failure.
    this.#stopCompaction.abort();
    // It may wait for chunks to be removed: from now on few more are.
    await this.uploads?.close();
    await this.#compaction?.catch(() => undefined);
    await super.close();
  }

  protected get isCompacting(): boolean {
    return this.#compaction !== undefined;
  }

  /** @throws CouchError 400 where an id has no place in a partitioned database: nothing is written then */
  async write(edits: readonly DocumentEdit[], options: WriteOptions): Promise<EditResult[]> {
    for (const { id } of this.isPartitioned ? edits : []) requireInPartition(this, id);
    const attached = edits.filter(({ attachments }) => attachments !== undefined);
    if (attached.length > 0) await this.#requireAttachments(attached, options);
    const order = BatchOrder.of(edits);
    // Where nothing takes long nothing is waited for: what is sent first is written first.
    const batch = order instanceof Promise ? await order : order;
    const judging = new Judging(this, options);
    const parts = portions(batch.edits).map((portion) => this.#writePortion(portion, judging));
    return batch.asSent((await Promise.all(parts)).flat());
  }

  /** Once a rule is acknowledged, nothing is written that it did not judge: what it overtook is judged again. */
  async #writePortion({ edits, weight }: Portion, judging: Judging): Promise<readonly EditResult[]> {
    for (;;) {
      const { rules } = this;
      const verdicts = judging.verdicts(edits, rules);
      // Nor is anything waited for where nobody judges.
      const judged = verdicts instanceof Promise ? await verdicts : verdicts;
      const written = await this.#writeGood(judged, weight, judging.options, rules);
      if (written !== undefined) return resultsOf(judged, written);
    }
  }

  /** An attachment that is not there spoils the whole batch, of which nothing is written then. @throws CouchError 412 */
  async #requireAttachments(edits: readonly DocumentEdit[], { newEdits }: WriteOptions): Promise<void> {
    const transaction = this.begin();
    try {
      await transaction.load(edits.map(({ id }) => id));
      await transaction.loadAttachments(edits, newEdits);
      for (const edit of edits) transaction.requireAttachments(edit, newEdits);
    } finally {
      await transaction.abandon();
    }
  }

  /** @param rules by which the edits were judged. @returns undefined where that is out of date: nothing is written then */
  async #writeGood(
    judged: readonly Judged[],
    weight: number,
    { newEdits, origin }: WriteOptions,
    rules: Rules,
  ): Promise<readonly EditResult[] | undefined> {
    const edits = accepted(judged);
    if (edits.length === 0) return [];
    let results: EditResult[] | undefined;
    const areGood = (transaction: Transaction): boolean =>
      rules === this.rules && judged.every((one) => isStillStored(one, transaction));
    const attached = edits.filter(({ attachments }) => attachments !== undefined);
    await this.submit({
      ids: edits.map(({ id }) => id),
      ...(attached.length > 0 && { attached: { edits: attached, newEdits } }),
      weight,
      *run(transaction) {
        results = areGood(transaction) ? [] : undefined;
        if (results === undefined) return;
        for (const edit of edits) {
          results.push(resultOf(transaction, edit, newEdits, origin));
          yield;
        }
      },
    });
    return results;
  }

  /** @throws CouchError 400 where an id has no place in a partitioned database, 412 where an attachment is not there */
  async resolve(writes: ResolvingWrites, options: ResolveOptions = {}): Promise<Resolved> {
    for (const { id } of this.isPartitioned ? writes.edits : []) requireInPartition(this, id);
    const host = {
      source: this,
      rules: () => this.rules,
      get: (id: string) => this.get(id),
      isStillStored,
      submit: (task: WriteTask) => this.submit(task),
    };
    return resolveConflict(host, writes, options);
  }

  /** Runs a task in the next commit: for callers whose documents follow other rules than CouchDB's (pouchdb/). */
  transact(task: WriteTask): Promise<void> {
    return this.submit(task);
  }

  trackUnsent(on: boolean): Promise<void> {
    return this.unsent.track(on);
  }

  stageAttachments(): Staging {
    if (this.closing) throw unavailable('The database is being closed.');
    return new Staging(this.openUploads);
  }

  async putLocal(id: string, rev: string | undefined, body: string): Promise<string> {
    const next = rev === undefined ? '0-1' : `0-${String(Number(localRev(rev).slice(2)) + 1)}`;
    const head = `{"_id":${JSON.stringify(id)},"_rev":"${next}"`;
    const text = body === '' ? `${head}}` : `${head},${body}}`;
    await this.submit({
      weight: text.length,
      run: (transaction) => {
        transaction.locals.put(id, text);
      },
    });
    return next;
  }

  async deleteLocal(id: string): Promise<boolean> {
    if (this.getLocal(id) === undefined) return false;
    await this.submit({
      run: (transaction) => {
        transaction.locals.delete(id);
      },
    });
    return true;
  }

  async setSecurity(text: string): Promise<void> {
    await this.#putMeta(keys.SECURITY, text);
    this.open.rulebook.setSecurity(text);
  }

  async setRevsLimit(limit: number): Promise<void> {
    await this.#putMeta(keys.REVS_LIMIT, String(limit));
    this.open.settings.revsLimit = limit;
  }

  async setPurgedInfosLimit(limit: number): Promise<void> {
    await this.#putMeta(keys.PURGED_INFOS_LIMIT, String(limit));
    this.open.settings.purgedInfosLimit = limit;
  }

  /** Comes before its first document. */
  async setPartitioned(): Promise<void> {
    await this.#putMeta(keys.PARTITIONED, 'true');
    this.open.settings.isPartitioned = true;
  }

  async #putMeta(key: string, value: string): Promise<void> {
    await this.submit({
      run: (transaction) => {
        transaction.put(layout.meta.key(key), value);
      },
    });
  }

  async purge(
    requests: ReadonlyMap<string, readonly string[]>,
  ): Promise<ReadonlyMap<string, readonly string[]>> {
    const purged = new Map<string, readonly string[]>();
    if (requests.size === 0) return purged;
    const facts = await this.factsOfPurged(requests);
    await this.submit({
      ids: [...requests.keys()],
      run: (transaction) => {
        for (const [id, revs] of requests) purged.set(id, transaction.purge(id, revs, facts));
      },
    });
    return purged;
  }

  /** About the bodies that will go: there may be many, and while a commit is put together nothing else runs. */
  async factsOfPurged(
    requests: ReadonlyMap<string, readonly string[]>,
  ): Promise<ReadonlyMap<number, BodyFacts>> {
    const records = await this.getMany([...requests.keys()]);
    const seqs = records.flatMap((record) => {
      if (record === undefined) return [];
      const { gone } = purge(record.tree, new Set(requests.get(record.id)));
      return gone.map((rev) => record.bodySeqs.get(rev)).filter((seq) => seq !== undefined);
    });
    return this.bodyFacts(seqs);
  }

  compact(report: (progress: CompactionProgress) => void = () => undefined): Promise<void> {
    if (this.#stopCompaction.signal.aborted)
      return Promise.reject(unavailable('The database is being closed.'));
    this.#compaction ??= this.#compactOnce(report).finally(() => (this.#compaction = undefined));
    return this.#compaction;
  }

  async #compactOnce(report: (progress: CompactionProgress) => void): Promise<void> {
    const { signal } = this.#stopCompaction;
    const cuts = new DocumentCuts();
    const { docCount, deletedCount } = this.open.state;
    let done = 0;
    const onDocuments = (ids: readonly string[]): void => {
      cuts.add(ids);
      done += ids.length;
      // Documents may be made meanwhile.
      report({ phase: 'document_copy', done, total: Math.max(done, docCount + deletedCount) });
    };
    const compactAll = ({ ids, facts, weight }: CompactionPortion): Promise<void> =>
      this.submit({
        ids,
        weight,
        run: (transaction) => {
          for (const id of ids) transaction.compact(id, facts);
        },
      });
    await this.bases.trim(signal);
    const { level, revsLimit } = this;
    await compactDocuments({
      level,
      largeBodies: this.open.largeBodies,
      revsLimit,
      signal,
      compactAll,
      onDocuments,
    });
    await this.#forgetPurges(signal);
    await this.#giveBackSpace(cuts, signal, (ranges, total) => {
      report({ phase: 'file_compaction', done: ranges, total });
    });
  }

  async #giveBackSpace(
    cuts: DocumentCuts,
    signal: AbortSignal,
    onRange: (done: number, total: number) => void,
  ): Promise<void> {
    const { droppedBytes } = this.open.state;
    await this.openUploads.settled();
    await tidy(this.level, this.updateSeq, cuts, signal, onRange);
    this.forgetFileSize();
    if (signal.aborted || droppedBytes === 0) return;
    await this.submit({
      run: (transaction) => {
        transaction.tidied(droppedBytes);
      },
    });
  }

  /** Purges beyond the limit are remembered until the next compaction. */
  async #forgetPurges(signal: AbortSignal): Promise<void> {
    const last = this.open.state.purgeSeq - this.purgedInfosLimit;
    for await (const numbers of purgesUpTo(this.level, last)) {
      if (signal.aborted) return;
      await this.submit({
        run: (transaction) => {
          transaction.forgetPurges(numbers);
        },
      });
    }
  }

  async ensureFullCommit(): Promise<void> {
    await this.drain();
  }
}

/** Whether the body that kept a revision from being judged was not dropped meanwhile. */
const isStillStored = (judged: Judged, transaction: Transaction): boolean =>
  !('isStored' in judged) || hasBody(transaction.record(judged.edit.id), judged.edit);

function resultOf(
  transaction: Transaction,
  edit: DocumentEdit,
  newEdits: boolean,
  origin: Origin | undefined,
): EditResult {
  try {
    const rev = transaction.edit(edit, newEdits, { origin });
    return rev === undefined ? { ok: false, error: conflict() } : { ok: true, rev };
  } catch (error) {
    if (error instanceof CouchError) return { ok: false, error };
    throw error;
  }
}
