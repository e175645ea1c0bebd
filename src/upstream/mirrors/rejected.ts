import { createHash } from 'node:crypto';
import type { Config } from '../../config/schema.js';
import { tombstonesLast } from '../../conflicts/sending.js';
import { CouchError, notFound } from '../../errors.js';
import type { Logger } from '../../observe/log.js';
import { noteRefused, noteWritten, writeAgain } from '../../replication/rejected.js';
import type { Refusal, ReplicationListener, ReplicationSpec } from '../../replication/replication.js';
import type { RejectionList } from '../../rejections/list.js';
import type { ListKey, Rejection } from '../../rejections/rejection.js';
import type { Rejections } from '../../rejections/rejections.js';
import type { Ask } from '../directory.js';

/** Whose documents they are. */
export interface Pushed {
  /** Of the database. */
  readonly name: string;
  /** Of the list, and of the push's checkpoints, which pass what is on it. */
  readonly push: { readonly id: string };
}

export interface MirrorRejectionsOptions {
  /** Lists of mirrors alone; they are kept however many there are. */
  readonly rejections: Rejections;
  readonly ask: Ask;
  readonly config: Pick<Config, 'replication'>;
  readonly log: Pick<Logger, 'warn'>;
}

/** What a push tells, and is told, of what the upstream refuses. */
export interface PushAccount {
  readonly listener: Required<Pick<ReplicationListener, 'onRefused' | 'onWritten' | 'onHeld'>>;
  /**
   * Has everything on the list tried again, if the upstream judges by something else than it did the last time.
   * @throws what the sides fail with
   */
  review(spec: PushSpec, signal: AbortSignal): Promise<void>;
}

/** The two sides of a push. Its source has all documents, whether they wait or not. */
export type PushSpec = Pick<ReplicationSpec, 'source' | 'target' | 'tuning'>;

/** A revision that the upstream does not take for a reason that may pass. */
export interface HeldRevision {
  readonly id: string;
  readonly rev: string;
  readonly error: string;
  readonly reason: string;
}

export interface RejectionPage {
  readonly total: number;
  readonly rows: readonly Rejection[];
  /** What is tried again by itself meanwhile. */
  readonly held: readonly HeldRevision[];
}

/** With so many in a row it is not the documents that are at fault, but the account, or the rule. */
const MOST_IN_A_ROW = 20;
/** Documents that are tried again at once. */
const PAGE = 100;

/** What is known of the refusals of a mirror while the server runs. */
interface Course {
  /** How many came in a row for the same reason, and which. */
  count: number;
  reason: string;
  /** Whether something was written after too many had been refused: all of them are worth another try. */
  isOver: boolean;
  readonly held: Map<string, HeldRevision>;
}

/**
 * What the upstream refused of mirrors for good. Each is on the list of its mirror, on the disk, before a checkpoint of the
 * push passes it.
 */
export class MirrorRejections {
  readonly #courses = new Map<string, Course>();

  constructor(private readonly options: MirrorRejectionsOptions) {}

  /** Keeps the list of a mirror at hand while it pushes. @throws CouchError where it cannot be read */
  during<T>(mirror: Pushed, work: (account: PushAccount) => Promise<T>): Promise<T> {
    const course = this.#courseOf(mirror);
    course.held.clear();
    return this.#use(mirror, (list) => work(this.#account(mirror, list, course))).finally(() => {
      course.held.clear();
      if (course.count === 0 && !course.isOver) this.#courses.delete(mirror.push.id);
    });
  }

  page(mirror: Pushed, start: number, limit: number): Promise<RejectionPage> {
    return this.#use(mirror, async (list) => {
      const all = await list.read();
      const held = [...(this.#courses.get(mirror.push.id)?.held.values() ?? [])];
      return { total: all.length, rows: all.slice(start, start + limit), held };
    });
  }

  /** How many are on the list. */
  count(mirror: Pushed): Promise<number> {
    return this.options.rejections.count(keyOf(mirror));
  }

  /** Those of one document, or all. */
  read(mirror: Pushed, id?: string): Promise<readonly Rejection[]> {
    return this.#use(mirror, (list) => list.read(id));
  }

  /**
   * Tries to write a document once more.
   * @returns what the upstream refused again
   * @throws CouchError 404 where it is not on the list; what the sides fail with
   */
  retry(mirror: Pushed, id: string, spec: PushSpec, signal: AbortSignal): Promise<readonly Rejection[]> {
    return this.#use(mirror, async (list) => {
      const rejected = await list.read(id);
      if (rejected.length === 0) throw notFound();
      await this.#writeAgain(mirror, list, rejected, list.about, spec, signal);
      return list.read(id);
    });
  }

  /** Takes a document off the list. @returns false where it is not on it */
  drop(mirror: Pushed, id: string): Promise<boolean> {
    return this.#use(mirror, (list) => list.drop(id));
  }

  /** Takes everything off the list: what is on it is the upstream's no more, or not there any more. */
  async clear(mirror: Pushed): Promise<void> {
    await this.#use(mirror, (list) => list.clear());
    this.#courses.delete(mirror.push.id);
  }

  #use<T>(mirror: Pushed, work: (list: RejectionList) => Promise<T>): Promise<T> {
    return this.options.rejections.use(keyOf(mirror), work);
  }

  #courseOf({ push }: Pushed): Course {
    const course = this.#courses.get(push.id) ?? { count: 0, reason: '', isOver: false, held: new Map() };
    this.#courses.set(push.id, course);
    return course;
  }

  #account(mirror: Pushed, list: RejectionList, course: Course): PushAccount {
    return {
      listener: {
        onRefused: async (refusal) => {
          course.held.delete(placeOf(refusal));
          const isNews = !list.has(refusal.id, refusal.rev);
          await this.#note(mirror, list, refusal, list.about);
          // A run that begins at the last checkpoint comes by those again that it was paused for. What another one keeps
          // from being sent says nothing by itself.
          if (!isNews || refusal.behind !== undefined) return;
          const reason = reasonOf(refusal);
          course.count = course.reason === reason ? course.count + 1 : 1;
          course.reason = reason;
          if (course.count >= MOST_IN_A_ROW) throw tooMany(refusal);
        },
        onWritten: async (documents) => {
          if (documents.length === 0) return;
          course.isOver ||= course.count >= MOST_IN_A_ROW;
          course.count = 0;
          for (const document of documents) course.held.delete(placeOf(document));
          await noteWritten(list, documents);
        },
        onHeld: ({ id, rev, error }) => {
          const { error: kind, reason } = error;
          course.held.set(placeOf({ id, rev }), { id, rev, error: kind, reason });
        },
      },
      review: async (spec, signal) => {
        if (list.size === 0) return;
        const circumstances = await circumstancesOf(this.options.ask, mirror.name, signal);
        if (circumstances === list.about.circumstances && !course.isOver) return;
        const all = await list.read();
        const about = { database: mirror.name, circumstances };
        for (let at = 0; at < all.length; at += PAGE)
          await this.#writeAgain(mirror, list, all.slice(at, at + PAGE), about, spec, signal);
        course.isOver = false;
      },
    };
  }

  #writeAgain(
    mirror: Pushed,
    list: RejectionList,
    rejected: readonly Rejection[],
    about: RejectionList['about'],
    spec: PushSpec,
    signal: AbortSignal,
  ): Promise<void> {
    const listener: ReplicationListener = {
      onRefused: async (refusal) => {
        // What somebody dropped meanwhile stays dropped.
        if (list.has(refusal.id, refusal.rev)) await this.#note(mirror, list, refusal, about, true);
      },
      onWritten: (documents) => noteWritten(list, documents),
    };
    const options = { useCheckpoints: false };
    const again = { id: mirror.push.id, ...spec, options, order: tombstonesLast, listener };
    return writeAgain(list, rejected, again, signal);
  }

  /** @throws CouchError where there is no room for it: no checkpoint may pass it then */
  async #note(
    { name, push }: Pushed,
    list: RejectionList,
    refusal: Refusal,
    about: RejectionList['about'],
    isAgain = false,
  ): Promise<void> {
    const { id, rev, error } = refusal;
    const { maxRejections } = this.options.config.replication;
    const isListed =
      (list.size < maxRejections || list.has(id)) &&
      (await noteRefused(list, refusal, { database: name, ...about }, maxRejections, isAgain));
    if (!isListed) throw new CouchError(507, 'too_many_rejections', FULL);
    this.options.log.warn(
      { mirror: name, list: push.id, doc: id, rev, error: error.error, reason: error.reason },
      'a document was refused by the upstream',
    );
  }
}

const FULL =
  'The list of documents that the upstream refuses is full (replication.maxRejections); some of them have to be changed or dropped.';

const keyOf = ({ push }: Pushed): ListKey => ({ owner: null, name: push.id });

const placeOf = ({ id, rev }: Pick<Refusal, 'id' | 'rev'>): string => JSON.stringify([id, rev]);

const reasonOf = ({ error }: Refusal): string => `${error.error}: ${error.reason}`;

const tooMany = (refusal: Refusal): CouchError =>
  new CouchError(
    refusal.error.status,
    refusal.error.error,
    `the upstream refused ${MOST_IN_A_ROW} documents in a row: ${reasonOf(refusal)}`,
  );

/** Names what the upstream judges documents by, as far as it shows: who the account is there, and the rules of a database. */
async function circumstancesOf(ask: Ask, name: string, signal: AbortSignal): Promise<string> {
  const database = encodeURIComponent(name);
  const get = async (path: string): Promise<unknown> => {
    try {
      return await ask({ method: 'GET', path, signal });
    } catch (error) {
      // What the account may not see is as it is, until it may.
      if (error instanceof CouchError && error.status < 500) return error.status;
      throw error;
    }
  };
  const session = await get('_session');
  const { userCtx } = Object(session) as { readonly userCtx?: unknown };
  const security = await get(`${database}/_security`);
  const designs = await get(`${database}/_all_docs?startkey=%22_design/%22&endkey=%22_design0%22`);
  const { rows } = Object(designs) as { readonly rows?: unknown };
  return createHash('sha256')
    .update(JSON.stringify([userCtx, security, rows]))
    .digest('base64');
}
