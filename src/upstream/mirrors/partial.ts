import type { Work } from '../../json/turns.js';
import type {
  ChangedDocument,
  ChangesPage,
  ChangesRequest,
  Fetched,
  LocalLog,
  MissingRevisions,
  OpenedRevision,
  PeerInfo,
  Source,
} from '../../replication/peer.js';
import type { LocalAccess } from '../../replication/local/options.js';
import { compileSelector } from '../../selector/match.js';
import type { Json } from '../../selector/types.js';
import { settled, type Verdict } from '../../selector/verdict.js';
import type { MirrorRule } from '../rules.js';

type PartialRule = Pick<MirrorRule, 'docIds' | 'selector'>;

/** Every request asks for it. */
const known = new WeakMap<PartialRule, Selection>();

/** Which documents a partial mirror has. */
export class Selection {
  private constructor(
    /** Another one stands for another selection. */
    readonly text: string,
    /** Why a document that does not fit is not taken. */
    readonly reason: string,
    /** Whether a document may come to fit, or not to fit any more. */
    readonly isOfContent: boolean,
    private readonly matches: (id: string, document: () => Json) => Verdict,
  ) {}

  /** @returns undefined where everything is mirrored */
  static of(rule: PartialRule): Selection | undefined {
    if (rule.docIds === undefined && rule.selector === undefined) return undefined;
    const selection = known.get(rule) ?? Selection.#of(rule);
    known.set(rule, selection);
    return selection;
  }

  static #of({ docIds, selector = '{}' }: PartialRule): Selection {
    if (docIds !== undefined) {
      const ids = new Set(docIds);
      const reason = 'Only some documents of this database are mirrored (docIds), and this is none of them.';
      return new Selection(JSON.stringify([...ids].sort()), reason, false, (id) => ids.has(id));
    }
    const fits = compileSelector(JSON.parse(selector) as unknown);
    const reason = 'Only documents that fit a selector are mirrored, and this one does not.';
    return new Selection(selector, reason, true, (_, document) => fits(document()));
  }

  /** @param document is only asked for where it matters; deletions always fit */
  fits(id: string, document: () => Json): Work<boolean> {
    return settled(this.matches(id, document));
  }
}

/** What of the upstream belongs to a partial mirror, for the pull. */
export class PartialSource implements Source {
  readonly name: string;

  constructor(
    private readonly source: Source,
    private readonly access: Pick<LocalAccess, 'use'>,
  ) {
    this.name = source.name;
  }

  /** Deletions come along whatever they fit, but of documents that are not here. */
  async changes(request: ChangesRequest, signal: AbortSignal): Promise<ChangesPage> {
    const { selector } = request;
    const asked = selector === undefined ? request : { ...request, selector: orDeleted(selector) };
    for (let { since } = request; ;) {
      const page = await this.source.changes({ ...asked, since }, signal);
      const rows = await this.#wanted(page.rows);
      // A page without rows would be the end.
      if (rows.length > 0 || page.rows.length === 0 || page.pending === 0) return { ...page, rows };
      since = page.lastSeq;
    }
  }

  async #wanted(rows: readonly ChangedDocument[]): Promise<readonly ChangedDocument[]> {
    const deleted = rows.filter((row) => row.deleted === true);
    if (deleted.length === 0) return rows;
    const records = await this.access.use((db) => db.getMany(deleted.map(({ id }) => id)));
    const unknown = new Set(deleted.filter((_, at) => records[at] === undefined));
    return rows.filter((row) => !unknown.has(row));
  }

  /** A feed that is filtered names deleted leaves of any document, whatever its other ones are. */
  async *fetch(wanted: readonly MissingRevisions[], signal: AbortSignal): AsyncGenerator<readonly Fetched[]> {
    const records = await this.access.use((db) => db.getMany(wanted.map(({ id }) => id)));
    const unknown = new Set(wanted.filter((_, at) => records[at] === undefined).map(({ id }) => id));
    for await (const page of this.source.fetch(wanted, signal)) {
      yield page.filter(
        (one) => one.kind !== 'document' || !unknown.has(one.document.id) || !isDeletion(one.document.text),
      );
    }
  }

  open(wanted: MissingRevisions, signal: AbortSignal): AsyncIterable<OpenedRevision> {
    return this.source.open(wanted, signal);
  }

  info(signal: AbortSignal): Promise<PeerInfo> {
    return this.source.info(signal);
  }

  getLocal(id: string, signal: AbortSignal): Promise<LocalLog | undefined> {
    return this.source.getLocal(id, signal);
  }

  putLocal(id: string, log: LocalLog, signal: AbortSignal): Promise<string> {
    return this.source.putLocal(id, log, signal);
  }

  ensureFullCommit(signal: AbortSignal): Promise<string> {
    return this.source.ensureFullCommit(signal);
  }

  close(): Promise<void> {
    return this.source.close();
  }
}

const orDeleted = (selector: string): string => `{"$or":[${selector},{"_deleted":true}]}`;

const isDeletion = (text: string): boolean =>
  text.includes('"_deleted":true') && (JSON.parse(text) as { readonly _deleted?: unknown })._deleted === true;
