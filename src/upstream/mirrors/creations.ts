import { CouchError, databaseExists, databaseMissing, unavailable } from '../../errors.js';
import { Queue } from '../../store/queue.js';
import type { MirrorRule } from '../rules.js';
import type { MirrorContext } from './context.js';
import { doUpstream, put, removeUpstream, requireDeletable } from './control.js';
import type { Place } from './crossing.js';
import type { Mirror } from './mirror.js';
import type { MirrorRecord } from './records.js';

/** What mirrors there are. */
export interface CreationHost {
  hasRoom(): Promise<boolean>;
  add(record: MirrorRecord): Mirror;
  ruleOf(name: string): MirrorRule | undefined;
  get(name: string): Mirror | undefined;
  placeOf(name: string): Place;
}

/** Milliseconds for which a new database is waited for until it is here. */
const PATIENCE = 5000;
/** Milliseconds for which a name that has no database upstream is not asked for again. */
const FRUITLESS = 5000;
/** Names of which that is remembered. */
const MOST = 10_000;

/** Makes mirrors, and takes them away. */
export class Creations {
  readonly #underWay = new Map<string, Promise<void>>();
  readonly #fruitless = new Map<string, number>();
  /** Mirrors come and go one at a time: there is never a second one of a name. */
  readonly #turns = new Queue();
  /** To tell of many at once would open all of their databases. */
  readonly #tellings = new Queue();
  #isFull = false;

  constructor(
    private readonly context: MirrorContext,
    private readonly host: CreationHost,
  ) {}

  /** Whether a database is local though the rules say something else. */
  isDetached(name: string): boolean {
    return this.context.records.get(name)?.isDetached === true;
  }

  /**
   * Has the mirrors that there are records of, and of the databases that the rules have mirrored now, but had not before.
   * What a crash left is put right: a database that is gone is not warm, whatever its record says.
   */
  restore(): Promise<void> {
    return this.#turns.add(() => this.#restore());
  }

  async #restore(): Promise<void> {
    const { records, databases } = this.context;
    // What is to be put aside has another record already, which is for nothing before.
    const isAside = ({ keptAs }: MirrorRecord): number => (keptAs === undefined ? 1 : 0);
    for (const record of [...records.list()].sort((a, b) => isAside(a) - isAside(b))) {
      if (this.host.get(record.name) === undefined) await this.#restoreOne(record);
    }
    for (const name of databases.list()) {
      if (this.host.get(name) !== undefined || this.host.ruleOf(name) === undefined) continue;
      await this.#make({ name, isWarm: true, isFound: true, created: Date.now() });
    }
  }

  async #restoreOne(record: MirrorRecord): Promise<void> {
    const { records, databases } = this.context;
    const { name, keptAs, isLeaving, isDetached, toCreate, isWarm } = record;
    if (keptAs !== undefined) {
      if (databases.exists(name) && !databases.exists(keptAs)) await databases.rename(name, keptAs);
      if (databases.exists(keptAs)) await databases.use(keptAs, (db) => db.trackUnsent(false));
      // Nothing of what was known belongs to what is copied now; and it must not be put aside once more.
      const anew = { name, isWarm: false, created: record.created };
      const next = databases.exists(name) ? { ...record, keptAs: undefined } : anew;
      await records.put(next);
      await this.#restoreOne(next);
      return;
    }
    if (isLeaving === true) await databases.delete(name);
    const isHere = databases.exists(name);
    const isOver = isDetached === true || toCreate !== undefined;
    if (isLeaving === true || (isOver && !isHere)) {
      // Nobody was told that it was made.
      await records.delete(name);
      return;
    }
    if (isDetached === true || this.host.ruleOf(name) === undefined) return;
    if (isHere || !isWarm) {
      this.host.add(record);
      return;
    }
    const lost = { ...record, isWarm: false, local: undefined };
    await records.put(lost);
    this.host.add(lost);
  }

  /** The rules have it mirrored no more: what is here stays as it is. */
  release(mirror: Mirror): Promise<void> {
    mirror.end();
    const closed = mirror.close();
    void this.#tellings.add(async () => {
      await closed;
      await this.#tellOfCopy(mirror.name);
    });
    return this.#turns.add(() => closed);
  }

  /** What is here that nobody gets to see. Never fails. */
  async #tellOfCopy(name: string): Promise<void> {
    const { closing, log } = this.context;
    try {
      const ahead = (await this.copyOf(name))?.ahead ?? 0;
      if (ahead > 0)
        log.warn(
          { database: name, ahead },
          'the rules send everybody upstream: changes of the former mirror that have not gone up stay here, unseen',
        );
    } catch (error) {
      if (!closing.aborted) log.error({ err: error, database: name }, 'what was mirrored cannot be read');
    }
  }

  /**
   * What is left here of a mirror whose requests the rules have answered upstream; undefined where nothing is.
   * @throws CouchError
   */
  async copyOf(name: string): Promise<{ readonly ahead: number } | undefined> {
    const { records, databases } = this.context;
    const isLeft = records.get(name) !== undefined && databases.exists(name);
    if (!isLeft || this.host.placeOf(name) === 'here') return undefined;
    return databases.use(name, ({ unsent }) => ({ ahead: unsent.count }));
  }

  /** Makes the mirror of a database that is upstream. Never fails. */
  async want(name: string): Promise<void> {
    const since = this.#fruitless.get(name);
    if (since !== undefined && performance.now() - since < FRUITLESS) return;
    const work = this.#underWay.get(name) ?? this.#mirror(name).finally(() => this.#underWay.delete(name));
    this.#underWay.set(name, work);
    await work;
  }

  /**
   * Has a database here that is upstream: its right was checked there.
   * @throws CouchError 404 where there is none, 503 where it takes long
   */
  async bring(name: string): Promise<void> {
    const { upstream, closing } = this.context;
    await this.want(name);
    const mirror = this.host.get(name);
    if (mirror !== undefined) await warm(mirror, closing);
    else await upstream.ask({ method: 'GET', path: encodeURIComponent(name), signal: closing });
    if (mirror?.crossing.place !== 'here')
      throw unavailable('The database is being copied from the upstream.');
  }

  async close(): Promise<void> {
    await Promise.all(this.#underWay.values());
  }

  async #mirror(name: string): Promise<void> {
    const { upstream, closing, log } = this.context;
    this.#fruitless.delete(name);
    try {
      // Asked first: every request for a database that is not mirrored comes here.
      if (!(await this.#hasRoom())) return;
      await upstream.ask({ method: 'GET', path: encodeURIComponent(name), signal: closing });
      await this.#turns.add(async () => {
        // Whatever it was about, much may have happened meanwhile.
        if (closing.aborted || this.host.get(name) !== undefined) return;
        if (this.host.ruleOf(name) === undefined) return;
        await this.#make({ name, isWarm: false, created: Date.now() });
      });
    } catch (error) {
      if (closing.aborted) return;
      if (this.#fruitless.size >= MOST) this.#fruitless.clear();
      this.#fruitless.set(name, performance.now());
      // Requests for it tell the same to whom they come from.
      if (!(error instanceof CouchError))
        log.error({ err: error, database: name }, 'a mirror could not be made');
    }
  }

  async #hasRoom(): Promise<boolean> {
    const hasRoom = await this.host.hasRoom();
    if (!hasRoom && !this.#isFull)
      this.context.log.warn('the disk has less room than store.minFree: nothing more is mirrored');
    this.#isFull = !hasRoom;
    return hasRoom;
  }

  async #make(record: MirrorRecord): Promise<Mirror> {
    await this.context.records.put(record);
    return this.host.add(record);
  }

  // ---- what clients ask for -------------------------------------------------------------------------------------

  /**
   * Makes a database upstream, then here. Resolves when it is here, or could be later.
   * @param parameters those of the request that a CouchDB knows
   * @throws CouchError 412 where there is one; 503 while the upstream is away, unless the rule allows it
   */
  async create(name: string, parameters: Readonly<Record<string, string>>): Promise<void> {
    const { context, host } = this;
    const { upstream, databases, closing } = context;
    if (databases.exists(name)) throw databaseExists();
    if (!upstream.isOnline && host.ruleOf(name)?.createOffline === true) {
      await this.#turns.add(async () => {
        // Somebody else may be making it.
        if (host.get(name) !== undefined) throw databaseExists();
        await this.#make({ name, isWarm: true, toCreate: parameters, created: Date.now() });
      });
      await databases.create(name, { partitioned: parameters.partitioned === 'true' });
      await databases.use(name, (db) => db.trackUnsent(true));
      return;
    }
    await put(context, name, parameters, closing);
    upstream.forget(name);
    this.#fruitless.delete(name);
    await this.want(name);
    const mirror = host.get(name);
    if (mirror !== undefined) await warm(mirror, closing);
  }

  /** Deletes a database upstream, then here. @throws CouchError 403, 404, 503 */
  async remove(name: string): Promise<void> {
    requireDeletable(this.context.config.upstream, this.#isPartial(name));
    await this.#removeBoth(name);
  }

  /** The same for a database that was made for a user and goes with them: the configuration says so. @throws CouchError */
  async removeOwned(name: string): Promise<void> {
    requireDeletable({ allowDelete: true }, this.#isPartial(name));
    await this.#removeBoth(name);
  }

  #isPartial(name: string): boolean {
    const rule = this.host.ruleOf(name);
    return rule?.selector !== undefined || rule?.docIds !== undefined;
  }

  async #removeBoth(name: string): Promise<void> {
    const { context, host } = this;
    const mirror = host.get(name);
    if (mirror === undefined) {
      if (!(await removeUpstream(context, name, context.closing))) throw databaseMissing();
    } else await mirror.remove(() => removeUpstream(context, name, context.closing));
    context.upstream.forget(name);
  }

  /**
   * Purges upstream, then here. Nothing flows meanwhile: what is under way would bring back what is purged.
   * @param body of the request
   * @param here does it here
   * @param signal ends it; nothing is done here then
   * @throws CouchError
   */
  async purge<T>(name: string, body: string, here: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const mirror = this.host.get(name);
    if (mirror === undefined) return here();
    return mirror.during(async () => {
      await this.before(name, '/_purge', 'POST', body, signal);
      return here();
    });
  }

  /**
   * Sets a security object upstream, then here. Nothing else that copies it runs meanwhile, which could bring back the one
   * of before.
   * @param here does it here
   * @throws CouchError
   */
  async secure(name: string, text: string, here: () => Promise<void>): Promise<void> {
    const mirror = this.host.get(name);
    const both = async (): Promise<void> => {
      await this.before(name, '/_security', 'PUT', text);
      await here();
    };
    await (mirror === undefined ? both() : mirror.during(both));
  }

  /** Does upstream what is about to be done with a database here. @throws CouchError */
  async before(
    name: string,
    path: string,
    method: 'PUT' | 'POST',
    body: string,
    signal = this.context.closing,
  ): Promise<void> {
    const mirror = this.host.get(name);
    if (mirror !== undefined) await doUpstream(mirror, { method, path, body }, signal);
    this.context.upstream.forget(name);
  }
}

/** Resolves when a mirror is warm, or after a while, or at the end. */
async function warm(mirror: Mirror, closing: AbortSignal): Promise<void> {
  if (mirror.standing.isWarm || closing.aborted) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      closing.removeEventListener('abort', done);
      end();
      resolve();
    };
    const timer = setTimeout(done, PATIENCE);
    closing.addEventListener('abort', done);
    const end = mirror.onProgress(() => {
      if (mirror.crossing.place === 'here') done();
    });
  });
}
