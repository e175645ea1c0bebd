import { CouchError } from '../../errors.js';
import { noteWritten } from '../../replication/rejected.js';
import type { Refusal, ReplicationSpec } from '../../replication/replication.js';
import type { RevisionText } from '../../replication/peer.js';
import { branchOf } from '../../replication/revision-text.js';
import type { RejectionList } from '../../rejections/list.js';
import type { ListKey, Refused, Rejection } from '../../rejections/rejection.js';
import type { MirrorServices } from './context.js';

/** A revision that the upstream announces and does not deliver, with the last failure. */
export type Missed = Omit<Refused, 'ancestors'>;

/** Whose documents they are. */
interface Pulled {
  /** Of the database. */
  readonly name: string;
  /** Of the list, and of the pull's checkpoints, which pass what is on it. */
  readonly pull: { readonly id: string };
}

/** So many revisions are left out of a mirror at most: with more it is the upstream that has to be mended. */
const MOST = 1000;

/**
 * What the upstream announces of one mirror and does not deliver: no checkpoint passes it, and no mirror gets warm without
 * it, before it comes or an admin has it left out. What is left out is on a list on the disk, until it or a descendant comes.
 */
export class Undelivered {
  /** By ids of documents, and then by revisions. */
  readonly #missed = new Map<string, Map<string, Missed>>();

  constructor(
    private readonly mirror: Pulled,
    private readonly services: Pick<MirrorServices, 'rejections' | 'log'>,
  ) {}

  /** What is tried again meanwhile; ordered by ids. */
  get missed(): readonly Missed[] {
    const all = [...this.#missed.values()].flatMap((revs) => [...revs.values()]);
    return all.sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** What is left out; ordered by ids and revisions. @throws CouchError where it cannot be read */
  leftOut(): Promise<readonly Rejection[]> {
    return this.#use((list) => list.read());
  }

  /** How many are left out. @throws CouchError where that cannot be read */
  countLeftOut(): Promise<number> {
    return this.services.rejections.count(this.#key);
  }

  /** Has a pull tell what does not come, and pass what is left out. */
  during(work: (account: Pick<ReplicationSpec, 'listener' | 'mayPass'>) => Promise<void>): Promise<void> {
    return this.#use(async (list) => {
      await work({
        listener: {
          onHeld: (refusal) => this.#miss(refusal),
          onWritten: (documents) => this.#came(list, documents),
        },
        mayPass: ({ id, rev }) => list.has(id, rev),
      });
      // It went to the end of the feed: what did not come is gone there, or left out.
      this.#missed.clear();
    });
  }

  /**
   * Leaves out what does not come of a document. The pull has to begin anew.
   * @returns false where nothing of it is missed
   * @throws CouchError 507 where too much is left out
   */
  leaveOut(id: string): Promise<boolean> {
    const own = [...(this.#missed.get(id)?.values() ?? [])];
    return this.#use(async (list) => {
      for (const one of own) {
        if (!(await list.add({ ...one, ancestors: [] }, { database: this.mirror.name }, MOST)))
          throw new CouchError(507, 'too_many_rejections', FULL);
        this.#forget(id, [one.rev]);
      }
      return own.length > 0;
    });
  }

  isLeftOut(id: string): Promise<boolean> {
    return this.#use((list) => Promise.resolve(list.has(id)));
  }

  /** Leaves a document out no more. The checkpoints that passed it must be gone by then. */
  async takeBack(id: string): Promise<void> {
    await this.#use((list) => list.drop(id));
  }

  /** Leaves out nothing more. */
  async clear(): Promise<void> {
    await this.#use((list) => list.clear());
    this.#missed.clear();
  }

  #miss({ id, rev, error: { status, error, reason } }: Refusal): void {
    const revs = this.#missed.get(id) ?? new Map<string, Missed>();
    if (!revs.has(rev))
      this.services.log.warn(
        { database: this.mirror.name, doc: id, rev, error, reason },
        'a document could not be brought from the upstream, and is tried again',
      );
    this.#missed.set(id, revs.set(rev, { id, rev, status, error, reason }));
  }

  #forget(id: string, gone: readonly string[]): void {
    const revs = this.#missed.get(id);
    for (const rev of gone) revs?.delete(rev);
    if (revs?.size === 0) this.#missed.delete(id);
  }

  async #came(list: RejectionList, documents: readonly RevisionText[]): Promise<void> {
    // The upstream may have a descendant by now, which comes in its place.
    for (const { id, rev, text } of documents)
      if (this.#missed.has(id)) this.#forget(id, [rev, ...(await branchOf(text))]);
    if (list.size > 0) await noteWritten(list, documents);
  }

  #use<T>(work: (list: RejectionList) => Promise<T>): Promise<T> {
    return this.services.rejections.use(this.#key, work);
  }

  get #key(): ListKey {
    return { owner: null, name: this.mirror.pull.id };
  }
}

const FULL = `No more than ${MOST} revisions can be left out of a mirror: the upstream has to be mended.`;
