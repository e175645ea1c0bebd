import { CouchError } from '../../errors.js';
import { JsonError } from '../../json/reader.js';
import { ElementStream } from '../../json/elements.js';
import { bytes, type HttpAnswer, isOfAnother } from '../../replication/http/client.js';
import type { HttpPeer } from '../../replication/http/peer.js';
import type { LocalAccess } from '../../replication/local/options.js';
import { PeerUnreachable, type Sequence } from '../../replication/peer.js';
import type { Database, PurgeRequest } from '../../store/types/database.js';
import { purgeable } from './purgeable.js';
import { type PurgedRevisions, RevisionSet } from './purged-target.js';
import { surely } from '../surely.js';

/** How many brackets are around a purge in `_purged_infos`. */
const LEVEL = 2;
/** Purges that are looked at together. */
const PAGE = 500;
/** What CouchDB remembers where nobody says otherwise. */
const DEFAULT_LIMIT = 1000;
/** What servers answer in their own words that have no list of purges. */
const NO_LIST = new Set([400, 404, 405, 501]);
/** The same of its limit, which a CouchDB shows to its admins alone. Whoever may read a database may read the list. */
const NO_LIMIT = new Set([...NO_LIST, 401, 403]);

export interface PurgeOptions {
  /** The upstream database. */
  readonly upstream: HttpPeer;
  /** The database here. */
  readonly access: LocalAccess;
  /** `purge_seq` of the upstream up to which its purges were done here; undefined where nobody knows. */
  readonly known: Sequence | undefined;
  /**
   * Has what was sent wait no more; called before anything is purged here.
   * @returns whether the upstream is known to have lost nothing but what was purged
   */
  readonly prepare: (signal: AbortSignal) => Promise<boolean>;
  /** Revisions of a document that the upstream refused: somebody has still to decide about them. */
  readonly refusedOf: (id: string) => Promise<readonly string[]>;
  /** They were done up to another one. */
  readonly onDone: (purgeSeq: Sequence) => Promise<void>;
}

/** Does here what was purged upstream: nothing else says that those revisions are not to be sent there again. */
export class Purges implements PurgedRevisions {
  #known: Sequence | undefined;
  /** All that the upstream remembers; read when it is first asked for. */
  #revisions: Promise<RevisionSet> | undefined;

  constructor(private readonly options: PurgeOptions) {
    this.#known = options.known;
  }

  /** Whether something was purged there since the last time. @throws CouchError, PeerUnreachable */
  async areNew(signal: AbortSignal): Promise<boolean> {
    const seq = await this.#purgeSeq(signal);
    if (seq === undefined || seq === this.#known) return false;
    // The nodes of a cluster have different texts for the same number.
    return (
      this.#known === undefined || numberOf(seq) === undefined || numberOf(seq) !== numberOf(this.#known)
    );
  }

  /**
   * Must come before each push. Nothing may flow meanwhile: a revision that was read before it was purged could come in
   * behind.
   * @throws PeerUnreachable; CouchError what the upstream answers, and `purges_forgotten` where the upstream remembers fewer than were made since the last time: nobody
   * can tell any more what is to be purged here
   */
  async follow(signal: AbortSignal): Promise<void> {
    const seq = await this.#purgeSeq(signal);
    if (seq === undefined || seq === this.#known) return;
    this.#revisions = undefined;
    const isWhole = await this.options.prepare(signal);
    const { listed, revisions } = await this.#purgeHere(isWhole, signal);
    if (!(await this.#isComplete(seq, listed, signal))) throw forgotten();
    this.#revisions = Promise.resolve(revisions);
    // What led to purged revisions may be left: it is looked at again once the checkpoints of both sides are the same.
    if (!isWhole) return;
    await this.options.onDone(seq);
    this.#known = seq;
  }

  /** @throws PeerUnreachable where that cannot be read, which says nothing of the revision; the reason of the signal */
  async has(id: string, rev: string, signal: AbortSignal): Promise<boolean> {
    // Where none was ever made there is nothing to read.
    if (this.#known !== undefined && numberOf(this.#known) === 0) return false;
    this.#revisions ??= this.#readAll(signal);
    const revisions = this.#revisions;
    try {
      return (await revisions).has(id, rev);
    } catch (error) {
      if (this.#revisions === revisions) this.#revisions = undefined;
      if (!(error instanceof CouchError)) throw error;
      throw new PeerUnreachable(`what was purged cannot be read: ${error.reason}`, { cause: error });
    }
  }

  async #purgeSeq(signal: AbortSignal): Promise<Sequence | undefined> {
    const info = await this.options.upstream.client.json({ method: 'GET', path: '', signal });
    const { purge_seq: seq } = Object(info) as { readonly purge_seq?: unknown };
    return typeof seq === 'string' || typeof seq === 'number' ? seq : undefined;
  }

  async #purgeHere(
    isWhole: boolean,
    signal: AbortSignal,
  ): Promise<{ listed: number; revisions: RevisionSet }> {
    const revisions = new RevisionSet();
    let listed = 0;
    for await (const page of this.#list(signal)) {
      listed += page.length;
      for (const { id, revs } of page) revisions.add(id, revs);
      await this.options.access.use((db) => this.#purgePage(db, page, isWhole, signal));
    }
    return { listed, revisions };
  }

  /** What came back upstream since it was purged stays here too. */
  async #purgePage(
    db: Database,
    page: readonly PurgeRequest[],
    isWhole: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const here = await purgeable(db, page, { refusedOf: this.options.refusedOf, isWhole });
    if (here.length === 0) return;
    const missing = await this.options.upstream.revsDiff(here, signal);
    await db.purge(new Map(missing.map((one) => [one.id, one.missing])));
  }

  /** Whether all purges since the last time are among those that are listed. */
  async #isComplete(seq: Sequence, listed: number, signal: AbortSignal): Promise<boolean> {
    const known = this.#known;
    if (known === undefined) return true;
    const [then, now] = [numberOf(known), numberOf(seq)];
    // Without numbers nobody can tell. Each request for a document counts.
    if (then === undefined || now === undefined || now < then || listed >= now) return true;
    return now - then <= (await this.#limit(signal));
  }

  /** Those that a compaction upstream leaves, of each shard. */
  async #limit(signal: AbortSignal): Promise<number> {
    const limit = await this.options.upstream.client
      .json({ method: 'GET', path: '_purged_infos_limit', signal })
      .catch(insteadOf(NO_LIMIT, DEFAULT_LIMIT));
    return typeof limit === 'number' ? limit : DEFAULT_LIMIT;
  }

  async #readAll(signal: AbortSignal): Promise<RevisionSet> {
    const revisions = new RevisionSet();
    for await (const page of this.#list(signal)) for (const { id, revs } of page) revisions.add(id, revs);
    return revisions;
  }

  async *#list(signal: AbortSignal): AsyncGenerator<readonly PurgeRequest[]> {
    const ask = (): Promise<HttpAnswer | undefined> =>
      this.options.upstream.client
        .send({ method: 'GET', path: '_purged_infos', signal })
        .catch(insteadOf(NO_LIST, undefined));
    const answer = await surely(ask, (found) => found === undefined, signal);
    if (answer === undefined) return;
    const elements = new ElementStream(LEVEL);
    let page: PurgeRequest[] = [];
    try {
      for await (const chunk of bytes(answer.body)) {
        page.push(...elements.take(chunk).map(purgeOf));
        if (page.length < PAGE) continue;
        yield page;
        page = [];
      }
      elements.end();
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof JsonError || error instanceof SyntaxError)
        throw new PeerUnreachable('the list of purges is not what it should be', { cause: error });
      throw error;
    }
    if (page.length > 0) yield page;
  }
}

function purgeOf(text: string): PurgeRequest {
  const { id, revs } = JSON.parse(text) as Partial<Record<keyof PurgeRequest, unknown>>;
  if (typeof id !== 'string' || !Array.isArray(revs) || !revs.every((rev) => typeof rev === 'string'))
    throw new JsonError('no purge');
  return { id, revs };
}

/** What tokens of purges begin with. */
function numberOf(seq: Sequence): number | undefined {
  const number = typeof seq === 'number' ? seq : Number.parseInt(seq, 10);
  return Number.isSafeInteger(number) ? number : undefined;
}

const insteadOf =
  <T>(statuses: ReadonlySet<number>, otherwise: T) =>
  (error: unknown): T => {
    if (error instanceof CouchError && statuses.has(error.status) && !isOfAnother(error)) return otherwise;
    throw error;
  };

const forgotten = (): CouchError =>
  new CouchError(
    409,
    'purges_forgotten',
    'More was purged upstream than it remembers (_purged_infos_limit): what is to be purged here nobody can tell.',
  );
