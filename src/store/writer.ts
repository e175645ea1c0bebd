import { inTurns, type Work } from '../json/turns.js';
import type { Transaction } from './transaction.js';
import type { DocumentEdit } from './types/edits.js';

/** One request to write. */
export interface WriteTask {
  /** Documents that must be loaded before `run`. */
  readonly ids: readonly string[];
  /** Edits that bring or keep attachments, which must be looked up before `run`. */
  readonly attached?: { readonly edits: readonly DocumentEdit[]; readonly newEdits: boolean };
  /** Roughly how much it adds to a batch, in bytes. */
  readonly weight: number;
  /**
   * Puts everything into the transaction, bit by bit where that takes long; run again with another one where a task beside
   * it failed.
   */
  run(transaction: Transaction): Work<void> | void;
}

/** What the writer needs of its database. */
export interface WriterHost {
  /** Resolves once writes are taken, also after one failed. @throws CouchError where they are not */
  ready(): Promise<void>;
  begin(): Transaction;
  commit(transaction: Transaction): Promise<void>;
  /** A batch failed: nothing in it may be shown, and nothing written before `ready` says so. */
  recover(error: unknown): Promise<void>;
}

interface Waiting {
  readonly task: WriteTask;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** A group commit grows no further than this. */
export const MAX_WEIGHT = 1024 * 1024;

/**
 * The one writer of a database. Tasks that come while a batch is being synced share the next one: one fsync
 * acknowledges them all.
 */
export class Writer {
  #waiting: Waiting[] = [];
  #running: Promise<void> | undefined;

  constructor(private readonly host: WriterHost) {}

  /** Resolves once the task is on disk. */
  submit(task: WriteTask): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ task, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Resolves once everything that was submitted so far is done, well or badly. */
  async drain(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  async #run(): Promise<void> {
    // Requests that were read from their sockets in the same turn of the event loop join the first batch.
    await Promise.resolve();
    while (this.#waiting.length > 0) await this.#commitGroup(this.#takeGroup());
    this.#running = undefined;
  }

  #takeGroup(): Waiting[] {
    let weight = 0;
    let count = 0;
    for (const { task } of this.#waiting) {
      weight += task.weight;
      if (count > 0 && weight > MAX_WEIGHT) break;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  async #commitGroup(group: readonly Waiting[]): Promise<void> {
    const begun = await this.#begin(group);
    if (begun === undefined) return;
    const { transaction, accepted } = begun;
    try {
      if (transaction.empty) await transaction.abandon();
      else await this.host.commit(transaction);
    } catch (error) {
      // First the waiting ones: recovery may take long.
      for (const { reject } of accepted) reject(error);
      await transaction.abandon();
      await this.host.recover(error);
      return;
    }
    for (const { resolve } of accepted) resolve();
  }

  /** Runs the tasks; undefined where none is left, or all are rejected because something could not be read. */
  async #begin(
    group: readonly Waiting[],
  ): Promise<{ transaction: Transaction; accepted: readonly Waiting[] } | undefined> {
    let transaction: Transaction | undefined;
    try {
      await this.host.ready();
      transaction = this.host.begin();
      await transaction.load([...new Set(group.flatMap(({ task }) => task.ids))]);
      for (const { task } of group) {
        if (task.attached !== undefined)
          await transaction.loadAttachments(task.attached.edits, task.attached.newEdits);
      }
      const running = inTurns(runTasks(group, transaction));
      const failed = running instanceof Promise ? await running : running;
      if (failed === undefined) {
        await transaction.measure();
        return { transaction, accepted: group };
      }
      // It may have put something: the others are run anew without it.
      await transaction.abandon();
      const others = group.filter((other) => other !== failed);
      return others.length === 0 ? undefined : await this.#begin(others);
    } catch (error) {
      for (const { reject } of group) reject(error);
      await transaction?.abandon();
      return undefined;
    }
  }
}

/**
 * Runs tasks up to the first that throws, which fails alone. Documents with a thousand branches take long.
 * @returns that one
 */
function* runTasks(group: readonly Waiting[], transaction: Transaction): Work<Waiting | undefined> {
  for (const waiting of group) {
    try {
      const work = waiting.task.run(transaction);
      if (work !== undefined) yield* work;
    } catch (error) {
      waiting.reject(error);
      return waiting;
    }
    yield;
  }
  return undefined;
}
