import { isTombstone } from '../../conflicts/revisions.js';
import { CouchError } from '../../errors.js';
import type {
  ChangedDocument,
  JsonObject,
  LocalLog,
  MissingRevisions,
  PeerInfo,
  RevisionText,
  RevisionWithAttachments,
  Target,
  WriteFailure,
} from '../../replication/peer.js';

/** Revisions that were purged upstream. */
export interface PurgedRevisions {
  has(id: string, rev: string, signal: AbortSignal): Promise<boolean>;
}

/** Revisions that are remembered of one upstream database. */
const MOST = 100_000;

/** Revisions of documents, up to a limit. */
export class RevisionSet {
  readonly #names = new Set<string>();

  add(id: string, revs: readonly string[]): void {
    for (const rev of revs) if (this.#names.size < MOST) this.#names.add(nameOf(id, rev));
  }

  has(id: string, rev: string): boolean {
    return this.#names.has(nameOf(id, rev));
  }
}

const nameOf = (id: string, rev: string): string => `${rev} ${id}`;

/**
 * The upstream, which gets nothing again that was purged there: it is refused, so that somebody hears of it. But for tombstones
 * of merges: the leaf that one deletes may have come back from wherever it was kept, and would stay a conflict there. They say
 * nothing that anybody may have wanted gone.
 */
export class PurgedTarget implements Target {
  readonly name: string;

  constructor(
    private readonly target: Target,
    private readonly purged: PurgedRevisions,
  ) {
    this.name = target.name;
  }

  async write(documents: readonly RevisionText[], signal: AbortSignal): Promise<readonly WriteFailure[]> {
    const refused: WriteFailure[] = [];
    const others: RevisionText[] = [];
    for (const document of documents) {
      const { id, rev } = document;
      if (await this.#isGone(id, rev, signal)) refused.push({ id, rev, error: wasPurged() });
      else others.push(document);
    }
    if (others.length === 0) return refused;
    return [...refused, ...(await this.target.write(others, signal))];
  }

  async writeWithAttachments(document: RevisionWithAttachments, signal: AbortSignal): Promise<void> {
    if (await this.#isGone(document.id, document.rev, signal)) throw wasPurged();
    await this.target.writeWithAttachments(document, signal);
  }

  async #isGone(id: string, rev: string, signal: AbortSignal): Promise<boolean> {
    return !isTombstone(rev) && (await this.purged.has(id, rev, signal));
  }

  info(signal: AbortSignal): Promise<PeerInfo> {
    return this.target.info(signal);
  }

  create(parameters: JsonObject, signal: AbortSignal): Promise<void> {
    return this.target.create(parameters, signal);
  }

  getLocal(id: string, signal: AbortSignal): Promise<LocalLog | undefined> {
    return this.target.getLocal(id, signal);
  }

  putLocal(id: string, log: LocalLog, signal: AbortSignal): Promise<string> {
    return this.target.putLocal(id, log, signal);
  }

  revsDiff(documents: readonly ChangedDocument[], signal: AbortSignal): Promise<readonly MissingRevisions[]> {
    return this.target.revsDiff(documents, signal);
  }

  ensureFullCommit(signal: AbortSignal): Promise<string> {
    return this.target.ensureFullCommit(signal);
  }

  close(): Promise<void> {
    return this.target.close();
  }
}

const wasPurged = (): CouchError => new CouchError(403, 'forbidden', 'This revision was purged upstream.');
