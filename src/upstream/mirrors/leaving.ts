import { CouchError } from '../../errors.js';
import { inTurns } from '../../json/turns.js';
import type { HttpPeer } from '../../replication/http/peer.js';
import { documentPath } from '../../replication/http/paths.js';
import type { LocalAccess } from '../../replication/local/options.js';
import type { ChangedDocument, ChangesPage, MissingRevisions, Sequence } from '../../replication/peer.js';
import type { Json } from '../../selector/types.js';
import { BodyPages } from '../../store/body-pages.js';
import type { Database } from '../../store/types/database.js';
import type { DocumentRecord } from '../../store/types/records.js';
import type { Selection } from './partial.js';
import { patiently } from './patiently.js';

/** Up to where it was seen what left the selection of a partial mirror. */
export interface Followed {
  /** `text` of the selection. */
  readonly selection: string;
  /** Of the upstream's whole feed. */
  readonly seq: Sequence;
}

export interface LeavingOptions {
  /** The whole upstream database. */
  readonly upstream: HttpPeer;
  /** The database here. */
  readonly access: Pick<LocalAccess, 'use'>;
  readonly selection: Selection;
  readonly known: Followed | undefined;
  /** Resolves once it is kept for the next start. */
  readonly onDone: (followed: Followed) => Promise<void>;
}

/** Rows of the feed that are read at once. */
const PAGE = 1000;

/** A document that is looked at, with its leaves upstream where they are known. */
interface Looked {
  readonly id: string;
  readonly leaves: readonly string[] | undefined;
}

/** What of a document has to leave. */
interface Misfit {
  readonly id: string;
  /** Leaves here that do not fit, or are none upstream any more. */
  readonly revs: readonly string[];
  /** Leaves upstream that may have come in their places, and are not here. */
  readonly unknown: readonly string[];
}

/**
 * Takes leaves of documents out of a partial mirror that do not fit its selection any more. The feed that the upstream
 * filters never names those: so its whole feed is followed, without documents, for what is here. What leaves is purged
 * here, and is no deletion; only what the upstream has can leave.
 */
export class Leaving {
  #followed: Followed | undefined;
  /** Up to here the feed was read; what is not certain yet may keep behind it what is kept. */
  #seen: Sequence = 0;

  constructor(private readonly options: LeavingOptions) {
    this.#followed = options.known;
  }

  /** Must come before the first pull: whatever changes upstream from then on is looked at. */
  async begin(signal: AbortSignal): Promise<void> {
    const { selection } = this.options;
    const followed = this.#followed ?? { selection: selection.text, seq: await this.#start(signal) };
    if (followed.selection !== selection.text) await this.#sweep(signal);
    if (followed !== this.options.known || followed.selection !== selection.text)
      await this.#keep({ ...followed, selection: selection.text });
  }

  /** Of what is here already nobody knows since when it may have left. */
  async #start(signal: AbortSignal): Promise<Sequence> {
    const { access, upstream } = this.options;
    const { docCount, deletedCount } = await access.use((db) => db.info());
    if (docCount + deletedCount > 0) return 0;
    return (await patiently(() => upstream.info(signal), signal)).updateSeq;
  }

  /**
   * Looks at everything that changed upstream. No pull may run meanwhile: what it is about to write is not here yet, and
   * may have left by then.
   */
  async run(signal: AbortSignal): Promise<void> {
    if (this.#followed === undefined) return;
    const before = this.#followed;
    let followed = before;
    this.#seen = before.seq;
    try {
      for (let isEnd = false, isCertain = true; !isEnd;) {
        const page = await patiently(() => this.#read(PAGE, false, signal), signal);
        isCertain = (await patiently(() => this.#look(page.rows.map(lookedAt), signal), signal)) && isCertain;
        this.#seen = page.lastSeq;
        if (isCertain) followed = { ...followed, seq: page.lastSeq };
        isEnd = page.rows.length === 0 || page.pending === 0;
      }
    } finally {
      if (followed.seq !== before.seq) await this.#keep(followed);
    }
  }

  /** Resolves when something changed upstream since, or after a while. */
  async wait(signal: AbortSignal): Promise<void> {
    await patiently(() => this.#read(1, true, signal), signal);
  }

  #read(limit: number, wait: boolean, signal: AbortSignal): Promise<ChangesPage> {
    const since = this.#seen;
    return this.options.upstream.changes(
      { since, limit, seqInterval: limit, style: 'all_docs', wait },
      signal,
    );
  }

  async #keep(followed: Followed): Promise<void> {
    await this.options.onDone(followed);
    this.#followed = followed;
  }

  /** The selection is another one: everything that is here is looked at. */
  async #sweep(signal: AbortSignal): Promise<void> {
    await this.options.access.use(async (db) => {
      for await (const page of db.changes({ since: 0, pageSize: PAGE })) {
        const ids = page.map(({ text }) => (JSON.parse(text) as { id: string }).id);
        const documents = ids.map((id) => ({ id, leaves: undefined }));
        await patiently(() => this.#look(documents, signal), signal);
      }
    });
  }

  /** @returns false where something may fit that was not pulled yet: then it has to be looked at again */
  async #look(documents: readonly Looked[], signal: AbortSignal): Promise<boolean> {
    const { access, upstream } = this.options;
    const misfits = await access.use((db) => this.#misfits(db, documents));
    if (misfits.length === 0) return true;
    const coming = await this.#coming(misfits, signal);
    const leaving = new Map(misfits.flatMap(({ id, revs }) => (coming.has(id) ? [] : [[id, revs] as const])));
    if (leaving.size > 0) {
      const asked = Array.from(leaving, ([id, revs]) => ({ id, revs, seq: undefined }));
      // What it has not got was written here, and waits, or was refused.
      for (const { id, missing } of await upstream.revsDiff(asked, signal)) {
        const revs = leaving.get(id)?.filter((rev) => !missing.includes(rev)) ?? [];
        if (revs.length > 0) leaving.set(id, revs);
        else leaving.delete(id);
      }
      await access.use((db) => db.purge(leaving));
    }
    return coming.size === 0;
  }

  async #misfits(db: Database, documents: readonly Looked[]): Promise<readonly Misfit[]> {
    const { selection } = this.options;
    const records = await db.getMany(documents.map(({ id }) => id));
    const held = documents.flatMap((one, at) => {
      const record = records[at];
      return record === undefined ? [] : [{ ...one, record }];
    });
    const revs = new Map(held.map(({ id, leaves, record }) => [id, superseded(record, leaves)]));
    const living = held.flatMap(({ id, record }) =>
      record.leaves().flatMap((leaf) => (leaf.deleted ? [] : [{ id, record, rev: leaf.rev }])),
    );
    for await (const page of new BodyPages(db).pages(living, (one) => one)) {
      for (const { item, text } of page) {
        const fits = text === undefined || (await inTurns(selection.fits(item.id, () => parse(text))));
        if (!fits) revs.get(item.id)?.add(item.rev);
      }
    }
    return held.flatMap(({ id, leaves = [], record }) => {
      const own = revs.get(id);
      if (own === undefined || own.size === 0) return [];
      return [{ id, revs: [...own], unknown: leaves.filter((rev) => !record.has(rev)) }];
    });
  }

  /** Ids of documents of which a leaf fits that is not here yet. */
  async #coming(misfits: readonly Misfit[], signal: AbortSignal): Promise<ReadonlySet<string>> {
    const { upstream } = this.options;
    const wanted = misfits.flatMap(({ id, unknown }): MissingRevisions[] =>
      unknown.length === 0 ? [] : [{ id, missing: unknown, possibleAncestors: [] }],
    );
    const coming = new Set<string>();
    if (wanted.length === 0) return coming;
    const apart: { readonly id: string; readonly rev: string }[] = [];
    for await (const page of upstream.fetch(wanted, signal)) {
      for (const one of page) {
        if (one.kind === 'failed') throw one.error;
        if (one.kind === 'apart') apart.push(one);
        if (one.kind === 'document' && (await this.#isWanted(parse(one.document.text))))
          coming.add(one.document.id);
      }
    }
    for (const { id, rev } of apart) {
      const document = await this.#readApart(id, rev, signal);
      if (document !== undefined && (await this.#isWanted(document))) coming.add(id);
    }
    return coming;
  }

  async #isWanted(document: Json): Promise<boolean> {
    const { _id: id, _deleted: deleted } = document as { readonly _id: string; readonly _deleted?: boolean };
    return deleted === true || (await inTurns(this.options.selection.fits(id, () => document)));
  }

  /** Without what is attached. */
  async #readApart(id: string, rev: string, signal: AbortSignal): Promise<Json | undefined> {
    const path = `${documentPath(id)}?rev=${encodeURIComponent(rev)}`;
    try {
      return (await this.options.upstream.client.json({ method: 'GET', path, signal })) as Json;
    } catch (error) {
      if (error instanceof CouchError && error.status === 404) return undefined;
      throw error;
    }
  }
}

const lookedAt = ({ id, revs }: ChangedDocument): Looked => ({ id, leaves: revs });

const parse = (text: string): Json => JSON.parse(text) as Json;

/** Leaves here that are none upstream. */
function superseded(record: DocumentRecord, upstream: readonly string[] | undefined): Set<string> {
  if (upstream === undefined) return new Set();
  return new Set(record.leaves().flatMap(({ rev }) => (upstream.includes(rev) ? [] : [rev])));
}
