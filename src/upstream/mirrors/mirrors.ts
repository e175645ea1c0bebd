import path from 'node:path';
import { statfs } from 'node:fs/promises';
import { purgeHere, type PurgeOutcome } from '../../conflicts/purging.js';
import { CouchError } from '../../errors.js';
import type { HttpRequest } from '../../replication/http/client.js';
import type { Database } from '../../store/types/database.js';
import type { MirrorRule } from '../rules.js';
import { UpstreamBodies } from './bodies.js';
import type { MirrorContext, MirrorServices } from './context.js';
import { Creations } from './creations.js';
import { Crossing, EarlyWrites, type Place } from './crossing.js';
import { Mirror } from './mirror.js';
import { purgeBranches } from './purge-branches.js';
import { type MirrorRecord, Records } from './records.js';
import { MirrorRejections } from './rejected.js';
import { type Absence, absenceOf } from './shown.js';
import { Turns } from './turns.js';
import { refusalOf, viewOf } from './view.js';
import { Waking, type WakingStatus } from './waking/waking.js';

/** Where one request is answered. */
export interface Admission {
  readonly place: Place;
  /** Fires when requests of the database are answered somewhere else from then on; feeds end with it. */
  readonly ending: AbortSignal | undefined;
  /** The request is over. */
  leave(): void;
}

const nothing = (): void => undefined;
const HERE: Admission = { place: 'here', ending: undefined, leave: nothing };
const THERE: Admission = { place: 'there', ending: undefined, leave: nothing };

/** All mirrors, and where the requests for any database are answered. Must be closed. */
export class Mirrors {
  readonly #mirrors = new Map<string, Mirror>();
  readonly #early = new EarlyWrites();
  readonly #context: MirrorContext;
  readonly #creations: Creations;
  readonly #closing = new AbortController();
  readonly #waking: Waking;
  /** Of revisions that are not kept here. */
  readonly bodies: UpstreamBodies;
  #wasOnline = false;
  /** Of the upstream. */
  #url: string | undefined;

  private constructor(
    private readonly services: MirrorServices,
    records: Records,
    data: string,
  ) {
    const { config, databases, upstream, rejections, log } = services;
    const ask = (request: HttpRequest): Promise<unknown> => upstream.ask(request);
    this.#context = {
      ...services,
      records,
      rejected: new MirrorRejections({ rejections, ask, config, log }),
      turns: new Turns(() => turnsWithin(config.upstream)),
      closing: this.#closing.signal,
      isTold: () => this.#waking.isTold,
      left: (mirror) => {
        const { name, crossing } = mirror;
        // There may be another one by now.
        if (this.#mirrors.get(name) !== mirror) return;
        this.#mirrors.delete(name);
        this.#early.giveBack(name, crossing);
      },
    };
    this.#creations = new Creations(this.#context, {
      hasRoom: () => this.#hasRoom(data),
      add: (record) => this.#add(record),
      ruleOf: (name) => this.#ruleOf(name),
      get: (name) => this.#mirrors.get(name),
      placeOf: (name) => this.placeOf(name),
    });
    this.#waking = new Waking({
      host: this,
      ask,
      send: (request) => upstream.send(request),
      interval: () => config.upstream.pollInterval,
      log,
    });
    this.bodies = new UpstreamBodies({
      upstream,
      log,
      isMirrored: (name) => this.#mirrors.has(name),
      closing: this.#closing.signal,
    });
    databases.onChange((name) => this.#mirrors.get(name)?.changed());
    upstream.onChange(() => this.#reconsider());
  }

  /** @param data the data directory. @throws whatever the disk says */
  static async open(services: MirrorServices, data: string): Promise<Mirrors> {
    const records = await Records.open(path.join(data, 'mirrors'));
    const mirrors = new Mirrors(services, records, data);
    await mirrors.#creations.restore();
    return mirrors;
  }

  /** To be called once requests can be answered. */
  start(): void {
    this.#reconsider();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#waking.stop();
    await Promise.all(this.list().map((mirror) => mirror.close()));
    await this.#creations.close();
    await this.#context.records.close();
  }

  /** Sorted by names. */
  list(): readonly Mirror[] {
    return [...this.#mirrors.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  get(name: string): Mirror | undefined {
    return this.#mirrors.get(name);
  }

  // ---- requests -------------------------------------------------------------------------------------------------

  /** Where a database is at the moment. */
  placeOf(name: string): Place {
    const mirror = this.#mirrors.get(name);
    if (mirror !== undefined) return mirror.crossing.place;
    const { upstream } = this.services;
    if (!upstream.isThere || this.#creations.isDetached(name)) return 'here';
    return upstream.rules.modeOf(name) === 'local' ? 'here' : 'there';
  }

  /** Whether a database is here alone. */
  isLocal(name: string): boolean {
    return !this.isMirrored(name) && this.placeOf(name) === 'here';
  }

  /** Whether the rules have a database mirrored, and nobody detached it: then it is here and upstream. */
  isMirrored(name: string): boolean {
    return this.#mirrors.has(name) || this.#ruleOf(name) !== undefined;
  }

  /**
   * Where a request is answered, which is to be told when it is over. While a database moves here, writes wait.
   * @throws CouchError 503 where too many wait
   */
  admit(name: string, isWrite: boolean): Admission | Promise<Admission> {
    const mirror = this.#mirrors.get(name);
    if (mirror === undefined) {
      if (this.placeOf(name) === 'here') return HERE;
      return isWrite && this.isMirrored(name) ? { ...THERE, leave: this.#early.enter(name) } : THERE;
    }
    mirror.used();
    const { crossing } = mirror;
    if (!isWrite) return crossing.place === 'here' ? HERE : { ...THERE, ending: crossing.ending };
    const place = crossing.enter();
    const leave = (): void => this.#early.left(name, crossing);
    return typeof place === 'string'
      ? { place, ending: undefined, leave }
      : place.then((found) => ({ place: found, ending: undefined, leave }));
  }

  /** Why a database that is not here yet takes no writes of clients; undefined where it does. */
  refusalOf(name: string): string | undefined {
    const rule = this.#ruleOf(name);
    return rule && refusalOf(rule);
  }

  /** A database here as clients may use it. */
  view(db: Database): Database {
    const mirror = this.#mirrors.get(db.name);
    return mirror === undefined ? db : viewOf(db, mirror.rule);
  }

  /** Somebody who may asks for a database that is upstream: its mirror is made in the background. */
  want(name: string): void {
    if (this.#mirrors.has(name) || this.#ruleOf(name) === undefined) return;
    void this.#creations.want(name);
  }

  /** What the upstream refused of them. */
  get rejected(): MirrorRejections {
    return this.#context.rejected;
  }

  /** Why nothing flows in any of them, whatever their states; null where something may. */
  get absence(): Absence | null {
    const { upstream } = this.services;
    return absenceOf({ isOnline: upstream.isOnline, status: upstream.status() });
  }

  /** How changes upstream are noticed. */
  get noticed(): WakingStatus {
    return this.#waking.status();
  }

  /** Takes away what merges of a database are done with, upstream first. @throws CouchError, the reason of the signal */
  purgeBranches(
    db: Database,
    requests: ReadonlyMap<string, readonly string[]>,
    signal: AbortSignal,
  ): Promise<PurgeOutcome> {
    const mirror = this.#mirrors.get(db.name);
    if (mirror !== undefined) return purgeBranches(mirror, this.#creations, db, requests, signal);
    // It may be about to become one.
    return this.isMirrored(db.name) ? Promise.resolve({ kind: 'later' }) : purgeHere(db, requests, signal);
  }

  /** See `Creations`. */
  get control(): Creations {
    return this.#creations;
  }

  // ---- what happens upstream ------------------------------------------------------------------------------------

  /** Their names, those first that were used last. */
  mirrors(): readonly string[] {
    return [...this.#mirrors.values()].sort((a, b) => b.lastUsed - a.lastUsed).map(({ name }) => name);
  }

  /** Something of an upstream database changed, or may have. */
  wake(name: string): void {
    this.#mirrors.get(name)?.wake();
  }

  /** An upstream database is gone; the mirror sees for itself. */
  missing(name: string): void {
    this.#mirrors.get(name)?.wake();
  }

  /** There is such a database upstream: where the rules say so, it is mirrored from now on. */
  found(name: string): void {
    if (this.#ruleOf(name)?.start === 'eager') this.want(name);
  }

  /** Whether names of upstream databases are of interest of which nobody knows. */
  get wantsNames(): boolean {
    return this.services.upstream.rules.hasEagerPatterns;
  }

  /** The link, the upstream or the rules are other ones. */
  #reconsider(): void {
    const { upstream } = this.services;
    const { isOnline } = upstream;
    for (const mirror of this.#mirrors.values()) {
      const rule = this.#ruleOf(mirror.name);
      if (rule === undefined) void this.#creations.release(mirror);
      else mirror.changeRule(rule);
    }
    void this.#creations.restore().catch((error: unknown) => {
      this.services.log.error({ err: error }, 'mirrors could not be made');
    });
    const url = upstream.status()?.url;
    if (url !== this.#url) this.#waking.forget();
    if (isOnline === this.#wasOnline && url === this.#url) return;
    [this.#wasOnline, this.#url] = [isOnline, url];
    if (isOnline) this.#waking.start();
    else this.#waking.stop();
    // Those that were used last have most to say.
    for (const name of this.mirrors()) this.#mirrors.get(name)?.linkChanged(isOnline);
    if (isOnline) for (const name of upstream.rules.eagerNames) this.want(name);
  }

  #ruleOf(name: string): MirrorRule | undefined {
    const { upstream } = this.services;
    if (!upstream.isThere || this.#creations.isDetached(name)) return undefined;
    return upstream.rules.mirrorOf(name);
  }

  #add(record: MirrorRecord): Mirror {
    const rule = this.#ruleOf(record.name);
    if (rule === undefined)
      throw new CouchError(409, 'conflict', 'The rules have no mirror of this database.');
    const { name, isWarm } = record;
    const crossing = isWarm ? new Crossing('here') : this.#early.take(name);
    const mirror = new Mirror(record, rule, this.#context, crossing);
    this.#mirrors.set(name, mirror);
    mirror.wake();
    return mirror;
  }

  /** Whether another database may be copied. */
  async #hasRoom(data: string): Promise<boolean> {
    const { bavail, bsize } = await statfs(data);
    return bavail * bsize >= this.services.config.store.minFree;
  }
}

/** Each has a connection that waits for changes, and others now and then. */
const turnsWithin = ({
  maxMirrorsRunning,
  maxConnections,
  maxFeeds,
}: MirrorServices['config']['upstream']): number =>
  Math.max(1, Math.min(maxMirrorsRunning, (maxConnections - maxFeeds) >> 1));
