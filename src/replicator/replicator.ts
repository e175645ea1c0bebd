import { lookup } from 'node:dns/promises';
import { isServerAdmin, type UserContext } from '../auth/usercontext.js';
import { Queue } from '../store/queue.js';
import type { Config } from '../config/schema.js';
import { CouchError, notFound, tooManyRequests, unauthorized } from '../errors.js';
import { inTurns } from '../json/turns.js';
import { PeerUnreachable } from '../replication/peer.js';
import type { Logger } from '../observe/log.js';
import type { Tasks } from '../observe/tasks.js';
import type { Rejection } from '../rejections/rejection.js';
import type { Rejections } from '../rejections/rejections.js';
import type { Database } from '../store/types/database.js';
import { REPLICATOR, type Members } from './documents.js';
import type { Endpoint } from './endpoint.js';
import { InvalidReplication } from './invalid.js';
import { type DocumentPlace, Jobs, type JobSpec, type ScheduledJob } from './jobs.js';
import { OwnServer } from './own-server.js';
import { Peers, type PeerServices } from './peers.js';
import { parseCancellation, parseRequest, readRequest } from './request.js';
import { RejectionDesk } from './rejection-desk.js';
import { run } from './running.js';
import { shownResult, type Shown, type Unscheduled } from './shown.js';
import { type DocumentRules, ReplicatorView } from './view.js';
import { Watcher } from './watcher.js';

export interface ReplicatorServices extends Omit<PeerServices, 'config' | 'resolve'> {
  /** Read at each use: it may change. */
  readonly config: Pick<Config, 'replication' | 'admins'>;
  readonly tasks: Tasks;
  readonly rejections: Rejections;
  readonly log: Pick<Logger, 'error' | 'info' | 'warn'>;
  /** Finds the addresses of names; as the system does, when left out. */
  readonly resolve?: PeerServices['resolve'];
  /** See `JobsOptions`. */
  readonly firstBackoff?: number;
  /** See `WatcherServices`. */
  readonly filterCheck?: number;
}

/** What `_replicate` answers. */
export interface Answer {
  readonly status: number;
  readonly body: Shown;
}

/** What there is once it is known where the server listens. */
interface Parts {
  readonly own: OwnServer;
  readonly peers: Peers;
  readonly watcher: Watcher;
  readonly rejected: RejectionDesk;
}

/** CouchDB's replicator: what is asked of `_replicate`, and what documents of replicator databases ask for. */
export class Replicator {
  readonly #jobs: Jobs;
  readonly #writes = new Queue();
  #parts: Parts | undefined;
  readonly #stop = new AbortController();

  constructor(private readonly services: ReplicatorServices) {
    const { config, log, firstBackoff } = services;
    this.#jobs = new Jobs({
      config,
      log,
      run: (spec) => run(spec, { ...services, peers: this.#running.peers }),
      onCompleted: (place, job) => this.#running.watcher.completed(place, job),
      ...(firstBackoff !== undefined && { firstBackoff }),
    });
  }

  /** @throws CouchError where the store fails */
  async prepare(): Promise<void> {
    await this.services.databases.create(REPLICATOR);
  }

  /** Begins to replicate. @param url where the server listens */
  start(url: string): void {
    const { services } = this;
    const own = new OwnServer(url);
    const resolve = services.resolve ?? ((hostname: string) => lookup(hostname, { all: true }));
    const peers = new Peers({ ...services, resolve }, own);
    const watcher = new Watcher({ ...services, peers, jobs: this.#jobs });
    const rejected = new RejectionDesk({
      ...services,
      peers,
      specs: () => this.#jobs.list().map(({ spec }) => spec),
      specOf: (place) => watcher.specOf(place),
    });
    this.#parts = { own, peers, watcher, rejected };
    services.databases.onCreate((name) => watcher.follow(name));
    watcher.start();
  }

  get #running(): Parts {
    if (this.#parts === undefined) throw new Error('the replicator was not started');
    return this.#parts;
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#parts?.watcher.close();
    await this.#jobs.close();
  }

  /** To be called when the configuration has changed. */
  reconsider(): void {
    this.#jobs.schedule();
    for (const { spec, pid } of this.#jobs.list()) if (pid !== null) void this.#judge(spec);
  }

  /** Who began it may be no admin any more. */
  async #judge(spec: JobSpec): Promise<void> {
    try {
      await this.#running.peers.judge(spec.request, spec);
    } catch (error) {
      this.#jobs.fail(spec.id.full, error);
    }
  }

  // ---- what it shows --------------------------------------------------------------------------------------------

  job(id: string): ScheduledJob | undefined {
    return this.#jobs.get(id);
  }

  jobs(): readonly ScheduledJob[] {
    return this.#jobs.list();
  }

  /** What is known of a document that is not at its end. */
  document(place: DocumentPlace): Unscheduled | ScheduledJob | undefined {
    return this.#running.watcher.find(place);
  }

  /** What targets refused for good. */
  get rejected(): RejectionDesk {
    return this.#running.rejected;
  }

  /** Tries once more to write a document that was refused. @throws CouchError; see `RejectionDesk` */
  async retry(name: string, id: string, user: UserContext): Promise<readonly Rejection[]> {
    try {
      return await this.rejected.retry(name, id, user, this.#stop.signal);
    } catch (error) {
      throw error instanceof PeerUnreachable ? new CouchError(500, 'error', error.message) : error;
    }
  }

  /** A replicator database as a user may see it. */
  view(db: Database, user: UserContext): Database {
    return new ReplicatorView(db, user, this.#rules, this.#writes);
  }

  readonly #rules: DocumentRules = {
    isAdmin: (name) => Object.hasOwn(this.services.config.admins, name),
    check: (members, owner) => {
      try {
        const request = parseRequest(members, this.services.config.replication);
        this.#running.peers.require(request, this.#rules.isAdmin(owner));
      } catch (error) {
        throw error instanceof InvalidReplication ? error.refusal : error;
      }
    },
  };

  // ---- _replicate -----------------------------------------------------------------------------------------------

  /**
   * Does what the body of a request asks for: replicates to the end, begins a continuous replication, or cancels one.
   * @param hasAccount whether the user logged in to an account here
   * @throws CouchError, PeerUnreachable
   */
  async replicate(body: Members, user: UserContext, hasAccount: boolean): Promise<Answer> {
    try {
      const cancellation = parseCancellation(body);
      if (cancellation?.id !== undefined) return await this.#cancel(cancellation.id, user);
      const spec = await this.#specOf(body, user, hasAccount);
      return cancellation === undefined ? await this.#run(spec) : await this.#cancel(spec.id.full, user);
    } catch (error) {
      if (error instanceof InvalidReplication) return failure(error.answer);
      throw error;
    }
  }

  async #specOf(body: Members, user: UserContext, hasAccount: boolean): Promise<JobSpec> {
    const { own, peers } = this.#running;
    const named = (database: string): Endpoint => ({
      url: own.urlOf(database),
      headers: {},
      user: user.name,
      database,
    });
    const request = await inTurns(readRequest(body, this.services.config.replication, named));
    const behalf = { as: user, hasAccount };
    peers.require(request, isServerAdmin(user));
    const id = await peers.identify(request, behalf, this.#stop.signal);
    return { ...behalf, id, request, user: user.name, document: undefined, startTime: Date.now() };
  }

  /** What runs already is joined. */
  async #run(spec: JobSpec): Promise<Answer> {
    const id = spec.id.full;
    const { options } = spec.request;
    const running = this.#jobs.get(id);
    this.#requireOwn(running, spec.as);
    if (running === undefined) this.#requireRoom(spec.as);
    this.#jobs.add(spec);
    if (options.continuous === true) return { status: 202, body: { ok: true, _local_id: id } };
    try {
      return { status: 200, body: shownResult(await this.#jobs.result(id), options.docIds !== undefined) };
    } catch (error) {
      return failed(error);
    }
  }

  /** @throws CouchError 429 where a user has begun so many replications already */
  #requireRoom(user: UserContext): void {
    if (isServerAdmin(user)) return;
    const { maxTransientJobs: most } = this.services.config.replication;
    const own = this.#jobs
      .list()
      .filter(({ spec }) => spec.document === undefined && spec.user === user.name);
    if (own.length >= most)
      throw tooManyRequests(
        `There are ${own.length} replications of this user already, as many as replication.maxTransientJobs allows.`,
      );
  }

  /** @throws CouchError 401, 404 */
  async #cancel(id: string, user: UserContext): Promise<Answer> {
    const job = this.#jobs.get(id);
    if (job === undefined) throw notFound();
    this.#requireOwn(job, user);
    await this.#jobs.remove(id);
    return { status: 200, body: { ok: true, _local_id: id } };
  }

  /** @throws CouchError 401 for the replication of somebody else */
  #requireOwn(job: ScheduledJob | undefined, user: UserContext): void {
    if (job === undefined || isServerAdmin(user) || job.spec.user === user.name) return;
    throw unauthorized('You are not a server admin.');
  }
}

/** What failed somewhere else is no failure of this server. @throws whatever else it is */
function failed(error: unknown): Answer {
  if (error instanceof PeerUnreachable) return failure(new CouchError(500, 'error', error.message));
  if (!(error instanceof CouchError) || (error.status !== 500 && error.status >= 400)) throw error;
  return failure(new CouchError(500, error.error, error.reason));
}

const failure = ({ status, error, reason }: CouchError): Answer => ({ status, body: { error, reason } });
