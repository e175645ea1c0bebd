import { Queue } from '../store/queue.js';
import { entryKey } from './level.js';
import type { ListInfo, ListKey, Refused, Rejection } from './rejection.js';

export type Operation =
  | { readonly type: 'put'; readonly key: string; readonly value: string }
  | { readonly type: 'del'; readonly key: string };

/** Where lists are kept. */
export interface ListHost {
  /** Ordered by ids and revisions. @param id of the only document that is wanted */
  read(key: ListKey, id?: string): Promise<readonly Rejection[]>;
  /** Resolves once it is on the disk. @throws CouchError; nothing of it is written then */
  write(operations: readonly Operation[], info: ListInfo): Promise<void>;
}

/** Longer reasons are cut: a server may say anything. */
const LONGEST_REASON = 1000;

type Known = Pick<Rejection, 'first' | 'attempts'>;

/** The revisions that one target refused for good, as long as somebody works with them. */
export class RejectionList {
  /** What is on it: by the ids of documents, and then by revisions. Reasons are on the disk. */
  readonly #known = new Map<string, Map<string, Known>>();
  readonly #writes = new Queue();

  constructor(
    private readonly host: ListHost,
    private info: ListInfo,
    rejections: readonly Rejection[],
  ) {
    for (const one of rejections) this.#remember(one);
  }

  /** Whether a revision of a document is on it: this one, or any. */
  has(id: string, rev?: string): boolean {
    const revs = this.#known.get(id);
    return rev === undefined ? revs !== undefined : revs?.has(rev) === true;
  }

  /** All of it, or what is on it of a document; ordered by ids and revisions. */
  read(id?: string): Promise<readonly Rejection[]> {
    return this.host.read(this.info, id);
  }

  get size(): number {
    return this.info.count;
  }

  /** What its user last said of it. */
  get about(): ListInfo['about'] {
    return this.info.about;
  }

  get unlisted(): number {
    return this.info.unlisted;
  }

  /**
   * Puts a revision on the list, or notes that it was refused again; resolves once that is on the disk.
   * @param most so many may be on the list
   * @param isAgain it was tried again because it is on the list: it stays off where somebody took it off meanwhile
   * @returns false where the list is full: then the revision is only counted
   */
  add(refused: Refused, about: ListInfo['about'], most: number, isAgain = false): Promise<boolean> {
    return this.#writes.add(async () => {
      const { ancestors, ...fields } = refused;
      const former = this.#known.get(fields.id);
      if (isAgain && former?.has(fields.rev) !== true) return true;
      const outdated = ancestors.filter((rev) => former?.has(rev));
      const before = former?.get(fields.rev);
      const isFull = before === undefined && this.size - outdated.length >= most;
      const now = Date.now();
      const rejection: Rejection = {
        ...fields,
        reason: fields.reason.slice(0, LONGEST_REASON).toWellFormed(),
        first: before?.first ?? now,
        last: now,
        attempts: (before?.attempts ?? 0) + 1,
      };
      this.info = { ...this.info, about };
      await this.#change(fields.id, outdated, isFull ? undefined : rejection, isFull ? 1 : 0);
      return !isFull;
    });
  }

  /** A revision was written: it and what it descends from need not be on the list any more. */
  async written(id: string, revs: readonly string[]): Promise<void> {
    await this.#writes.add(() => this.#drop(id, (rev) => revs.includes(rev)));
  }

  /** Takes a document off the list. @returns false where it is not on it */
  drop(id: string): Promise<boolean> {
    return this.#writes.add(() => this.#drop(id, () => true));
  }

  /** Takes everything off, and forgets how many more there were. */
  async clear(): Promise<void> {
    await this.#writes.add(async () => {
      const all = [...this.#known].flatMap(([id, revs]) => Array.from(revs.keys(), (rev) => ({ id, rev })));
      await this.host.write(
        all.map(({ id, rev }) => this.#removal(id, rev)),
        this.#infoWith({ count: 0, unlisted: 0 }),
      );
      this.info = this.#infoWith({ count: 0, unlisted: 0 });
      this.#known.clear();
    });
  }

  async #drop(id: string, isMeant: (rev: string) => boolean): Promise<boolean> {
    const revs = [...(this.#known.get(id)?.keys() ?? [])].filter(isMeant);
    if (revs.length > 0) await this.#change(id, revs, undefined, 0);
    return revs.length > 0;
  }

  /** What is in memory is changed once it is on the disk. */
  async #change(
    id: string,
    removed: readonly string[],
    added: Rejection | undefined,
    unlisted: number,
  ): Promise<void> {
    const isNew = added !== undefined && this.#known.get(id)?.has(added.rev) !== true;
    const info = this.#infoWith({
      count: this.size - removed.length + (isNew ? 1 : 0),
      unlisted: this.unlisted + unlisted,
    });
    const operations = removed.map((rev) => this.#removal(id, rev));
    if (added !== undefined)
      operations.push({
        type: 'put',
        key: entryKey(info, id, added.rev),
        value: JSON.stringify(added),
      });
    await this.host.write(operations, info);
    this.info = info;
    for (const rev of removed) this.#forget(id, rev);
    if (added !== undefined) this.#remember(added);
  }

  #infoWith(counts: Pick<ListInfo, 'count' | 'unlisted'>): ListInfo {
    return { ...this.info, ...counts, updated: Date.now() };
  }

  #removal(id: string, rev: string): Operation {
    return { type: 'del', key: entryKey(this.info, id, rev) };
  }

  #remember(one: Rejection): void {
    const revs = this.#known.get(one.id) ?? new Map<string, Known>();
    this.#known.set(one.id, revs.set(one.rev, { first: one.first, attempts: one.attempts }));
  }

  #forget(id: string, rev: string): void {
    const revs = this.#known.get(id);
    revs?.delete(rev);
    if (revs?.size === 0) this.#known.delete(id);
  }
}
