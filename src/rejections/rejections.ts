import { existsSync } from 'node:fs';
import { unavailable } from '../errors.js';
import { asAnswer } from '../store/failures.js';
import { entriesOf, listKey, type Opened, openLists } from './level.js';
import { type ListHost, type Operation, RejectionList } from './list.js';
import type { ListInfo, ListKey, Rejection } from './rejection.js';

/** So many rejections of one owner are kept: with more, the lists go that changed longest ago. */
const MOST_OF_OWNER = 100_000;

interface Used {
  readonly list: Promise<RejectionList>;
  users: number;
}

/**
 * All lists of revisions that targets refused for good, in a LevelDB of their own. It is opened when it is first needed,
 * and made when something is first refused.
 */
export class Rejections implements ListHost {
  #opening: Promise<Opened> | undefined;
  /** What is not the one that is open any more. */
  readonly #past = new WeakSet<Opened>();
  #isClosed = false;
  readonly #used = new Map<string, Used>();

  constructor(
    private readonly folder: string,
    private readonly mostOfOwner = MOST_OF_OWNER,
  ) {}

  /**
   * Works with a list, which need not be there; everybody who does so meanwhile gets the same.
   * @throws CouchError where it cannot be read
   */
  async use<T>(key: ListKey, work: (list: RejectionList) => Promise<T>): Promise<T> {
    const name = listKey(key);
    const used = this.#used.get(name) ?? { list: this.#load(key), users: 0 };
    this.#used.set(name, used);
    used.users++;
    try {
      return await work(await used.list);
    } finally {
      used.users--;
      if (used.users === 0) this.#used.delete(name);
    }
  }

  /** All that is on a list or counted there, ordered by owners and names. @throws CouchError */
  async lists(): Promise<readonly ListInfo[]> {
    const opened = await this.#opened();
    return [...(opened?.lists ?? [])].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, info]) => info);
  }

  /** How many are on a list, without reading it. @throws CouchError */
  async count(key: ListKey): Promise<number> {
    const opened = await this.#opened();
    return opened?.lists.get(listKey(key))?.count ?? 0;
  }

  /** Whoever still works with a list is told so. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const opened = await this.#opening?.catch(() => undefined);
    await opened?.level.close();
  }

  async #load(key: ListKey): Promise<RejectionList> {
    const opened = await this.#opened();
    const { owner, name } = key;
    const info = opened?.lists.get(listKey(key)) ?? {
      owner,
      name,
      about: {},
      count: 0,
      unlisted: 0,
      updated: 0,
    };
    return new RejectionList(this, info, await this.read(key));
  }

  // ---- the disk -------------------------------------------------------------------------------------------------

  async read(key: ListKey, id?: string): Promise<readonly Rejection[]> {
    const opened = await this.#opened();
    if (opened === undefined) return [];
    try {
      const texts = await opened.level.values(entriesOf(key, id)).all();
      return texts.map((text) => JSON.parse(text) as Rejection);
    } catch (error) {
      throw asAnswer(NAME, error);
    }
  }

  async write(operations: readonly Operation[], info: ListInfo): Promise<void> {
    const opened = await this.#open();
    const key = listKey(info);
    const isGone = info.count === 0 && info.unlisted === 0;
    if (!opened.lists.has(key) && !isGone) await this.#makeRoom(opened, info);
    const head: Operation = isGone ? { type: 'del', key } : { type: 'put', key, value: JSON.stringify(info) };
    await this.#commit(opened, [...operations, head]);
    if (isGone) opened.lists.delete(key);
    else opened.lists.set(key, info);
  }

  async #commit(opened: Opened, operations: readonly Operation[]): Promise<void> {
    try {
      await opened.gate.run(() => opened.level.batch([...operations], { sync: true }));
    } catch (error) {
      this.#reopen(opened);
      throw asAnswer(NAME, error);
    }
  }

  /** A new list may be one too many: the oldest go, but for those that somebody works with. */
  async #makeRoom(opened: Opened, { owner }: ListKey): Promise<void> {
    const own = Array.from(opened.lists.values())
      .filter((one) => one.owner === owner)
      .sort((a, b) => a.updated - b.updated);
    let total = own.reduce((sum, { count }) => sum + count, 0);
    for (const list of own) {
      if (total < this.mostOfOwner) return;
      const key = listKey(list);
      if (this.#used.has(key)) continue;
      const keys = await opened.level.keys(entriesOf(list)).all();
      await this.#commit(
        opened,
        [...keys, key].map((one) => ({ type: 'del', key: one })),
      );
      opened.lists.delete(key);
      total -= list.count;
    }
  }

  /** Undefined where nothing was ever refused. */
  async #opened(): Promise<Opened | undefined> {
    return this.#opening === undefined && !existsSync(this.folder) ? undefined : await this.#open();
  }

  #open(): Promise<Opened> {
    if (this.#isClosed) return Promise.reject(unavailable('the server is stopping'));
    return (this.#opening ??= this.#openAfter(Promise.resolve()));
  }

  /** What is written behind a write that failed may be lost. */
  #reopen(failed: Opened): void {
    if (this.#isClosed || this.#past.has(failed)) return;
    this.#past.add(failed);
    this.#opening = this.#openAfter(failed.level.close().catch(() => undefined));
  }

  #openAfter(before: Promise<void>): Promise<Opened> {
    const opening = before
      .then(() => openLists(this.folder))
      .catch((error: unknown) => {
        if (this.#opening === opening) this.#opening = undefined;
        throw asAnswer(NAME, error);
      });
    // Whoever needs it is told.
    opening.catch(() => undefined);
    return opening;
  }
}

/** What it is called in errors. */
const NAME = 'the list of rejections';
