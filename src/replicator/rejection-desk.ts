import { isServerAdmin, type UserContext } from '../auth/usercontext.js';
import { tombstonesLast } from '../conflicts/sending.js';
import { notFound } from '../errors.js';
import { writeAgain } from '../replication/rejected.js';
import type { ListInfo, ListKey, Rejection } from '../rejections/rejection.js';
import type { DocumentPlace, JobSpec } from './jobs.js';
import { listOf } from './rejected.js';
import { listenerFor, type RunServices } from './running.js';

export interface DeskServices extends Pick<RunServices, 'peers' | 'rejections' | 'config' | 'log'> {
  /** What runs, or is to run. */
  specs(): readonly JobSpec[];
  /** What a document asks for now; undefined where it is gone. @throws CouchError */
  specOf(place: DocumentPlace): Promise<JobSpec | undefined>;
}

/** A page of a list, with how long all of it is. */
export interface Page<T> {
  readonly total: number;
  readonly rows: readonly T[];
}

/** Shows to those whose replications they are what targets refused for good, tries it again, and drops it. */
export class RejectionDesk {
  constructor(private readonly services: DeskServices) {}

  /** All lists that a user may see. */
  async lists(user: UserContext, start: number, limit: number): Promise<Page<ListInfo>> {
    const all = (await this.services.rejections.lists()).filter((list) => maySee(list, user));
    return { total: all.length, rows: all.slice(start, start + limit) };
  }

  /** @param name of a list, or of the replication. @throws CouchError 404 */
  async page(
    name: string,
    user: UserContext,
    start: number,
    limit: number,
  ): Promise<Page<Rejection> & { readonly unlisted: number }> {
    const { rejections } = this.services;
    const key = await this.#find(name, user);
    return rejections.use(key, async (list) => {
      const all = await list.read();
      return { total: all.length, unlisted: list.unlisted, rows: all.slice(start, start + limit) };
    });
  }

  /** Takes everything off a list. @throws CouchError 404 */
  async clear(name: string, user: UserContext): Promise<void> {
    const key = await this.#find(name, user);
    await this.services.rejections.use(key, (list) => list.clear());
  }

  /** Takes a document off a list. @throws CouchError 404 */
  async drop(name: string, id: string, user: UserContext): Promise<void> {
    const key = await this.#find(name, user);
    if (!(await this.services.rejections.use(key, (list) => list.drop(id)))) throw notFound();
  }

  /**
   * Tries to write a document once more.
   * @returns what the target refused again
   * @throws CouchError 404 where there is no such document or no such replication any more; what the sides fail with
   */
  async retry(
    name: string,
    id: string,
    user: UserContext,
    signal: AbortSignal,
  ): Promise<readonly Rejection[]> {
    const { rejections, peers } = this.services;
    const info = await this.#find(name, user);
    return rejections.use(info, async (list) => {
      const rejected = await list.read(id);
      if (rejected.length === 0) throw notFound();
      const spec = await this.#specOf(info);
      const opened = await peers.open(spec.request, spec, signal);
      try {
        const { options, tuning } = spec.request;
        const again = {
          id: spec.id.base,
          source: opened.source,
          target: opened.target,
          options: { useCheckpoints: false, ...(options.useBulkGet === false && { useBulkGet: false }) },
          order: tombstonesLast,
          tuning,
          listener: listenerFor(spec, list, this.services),
        };
        await writeAgain(list, rejected, again, signal);
        return await list.read(id);
      } finally {
        await opened.close();
      }
    });
  }

  /** One's own list of that name, or for server admins the first of anybody's. @throws CouchError 404 */
  async #find(name: string, user: UserContext): Promise<ListInfo> {
    const [base] = name.split('+', 1);
    const all = (await this.services.rejections.lists()).filter((list) => list.name === base);
    const found = all.find(({ owner }) => owner === user.name) ?? all.find((list) => maySee(list, user));
    if (found === undefined) throw notFound();
    return found;
  }

  /** @throws CouchError 404 */
  async #specOf(list: ListInfo): Promise<JobSpec> {
    const isOf = (spec: JobSpec): boolean => isSame(listOf(spec), list);
    const running = this.services.specs().find(isOf);
    if (running !== undefined) return running;
    const document = list.about.document as DocumentPlace | undefined;
    const asked = document && (await this.services.specOf(document));
    if (asked === undefined || !isOf(asked))
      throw notFound('The replication is not there any more; it can be begun again for the documents.');
    return asked;
  }
}

const maySee = ({ owner }: ListKey, user: UserContext): boolean =>
  isServerAdmin(user) || (owner !== null && owner === user.name);

const isSame = (a: ListKey, b: ListKey): boolean => a.name === b.name && a.owner === b.owner;
