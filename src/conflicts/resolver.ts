import { isLarger } from '../json/size.js';
import { inTurns } from '../json/turns.js';
import type { Json } from '../selector/types.js';
import type { ConflictRow, JournalLimits } from '../store/conflicts/types.js';
import type { Database } from '../store/types/database.js';
import { Allowance } from './allowance.js';
import type { Considered } from './considering.js';
import { editsOf, tombstoneEdit } from './edits.js';
import type { TidyEntry } from './entries.js';
import { judgesOf } from './judges.js';
import { type BodySource, LoadedDocument, MOST_CHARACTERS, NO_BODIES } from './loaded.js';
import type { Merge, MergeRule } from './rules.js';
import { type ConflictState, parseState, stateText } from './states.js';
import { roomAt } from './room.js';
import type { ResolvedWrites, Tombstone } from './types.js';

export interface ResolverOptions {
  /** For ancestors that are not kept here. */
  readonly bodies?: BodySource;
  /** How long entries of journals stay. May change at any time. */
  readonly journal: JournalLimits;
  /** All of these may change at any time. */
  readonly limits: {
    /** Milliseconds for which a document waits for what replication may bring. */
    readonly patience: number;
    /** Bytes of a document, as CouchDB counts them. */
    readonly maxDocumentSize: number;
  };
}

/** Characters that the leaves of all documents may have together that are looked at in the same moment. */
const AT_ONCE = 2 * MOST_CHARACTERS;
/** Those who have the base of a document that waits for it are asked so often meanwhile. */
const ASK_AGAIN = 40;
/** A document that changes under our hands again and again is left for later. */
const MOST_TRIES = 10;

/** Resolves conflicts one by one, by the rule of their database. */
export class Resolver {
  readonly #memory = new Allowance(AT_ONCE);

  constructor(private readonly options: ResolverOptions) {}

  /**
   * Does for one document what is to be done, and notes why it stays in conflict if it does.
   * @returns when to look at it again, in milliseconds since 1970; undefined where that is when it changes
   */
  async resolve(
    db: Database,
    row: ConflictRow,
    rule: MergeRule,
    signal: AbortSignal,
  ): Promise<number | undefined> {
    const noted = parseState(row.state);
    const before = noted?.rule === rule.version ? noted : undefined;
    const due = before && (await this.#dueOf(db, before));
    const isDue = due === undefined || Date.now() >= due;
    if (!isDue && before?.reason !== NO_BODIES) return due === Infinity ? undefined : due;
    const isOverdue = isDue && before?.state === 'waiting';
    const look = new Look(db, row, rule, this.options, signal, { before, isOverdue });
    const document = look.load();
    return this.#memory.use(document?.bound ?? 0, (hasWaited) =>
      look.run(hasWaited ? look.load() : document),
    );
  }

  /** When a conflict of which something is noted is to be looked at again. */
  async #dueOf(db: Database, { state, since, noRoom, refusedBy }: ConflictState): Promise<number> {
    if (refusedBy !== undefined) return refusedBy === judgesOf(db) ? Infinity : 0;
    if (noRoom === true) return (await roomAt(db.journal, this.options.journal)) ?? 0;
    return state === 'waiting' ? since + this.options.limits.patience : Infinity;
  }
}

/** What was noted of a document. */
interface Noted {
  /** By the same rule. */
  readonly before: ConflictState | undefined;
  /** It has waited long enough. */
  readonly isOverdue: boolean;
}

/** Why a document stays in conflict. */
type Left = Omit<ConflictState, 'since' | 'rule'>;

/** What a look at a document leads to. */
type Next =
  /** The document changed, or what is left may have to be merged: it is looked at again. */
  'again' | 'done' | Left;

/** One document that is looked at until nothing more is to be done. */
class Look {
  constructor(
    private readonly db: Database,
    private readonly row: Pick<ConflictRow, 'id'>,
    private readonly rule: MergeRule,
    private readonly options: ResolverOptions,
    private readonly signal: AbortSignal,
    private readonly noted: Noted,
  ) {}

  /** @param document as it was just now */
  async run(document: LoadedDocument | undefined): Promise<number | undefined> {
    for (let left = MOST_TRIES; left > 0 && !this.signal.aborted; left--, document = this.load()) {
      if (document === undefined) return undefined;
      const next = await this.#step(document);
      if (next === 'done') return undefined;
      if (next === 'again') continue;
      const { id, seq } = document.record;
      const { before } = this.noted;
      const isSame = next.state === before?.state && next.reason === before.reason;
      const state = { ...next, since: isSame ? before.since : Date.now(), rule: this.rule.version };
      if (!(await this.db.conflicts.note({ id, seq }, stateText(state)))) continue;
      if (next.noRoom === true) return (await roomAt(this.db.journal, this.options.journal)) ?? Date.now();
      if (next.state !== 'waiting') return undefined;
      const { patience } = this.options.limits;
      const due = state.since + patience;
      return next.reason === NO_BODIES ? Math.min(due, Date.now() + patience / ASK_AGAIN) : due;
    }
    // Each try saw a change, and behind each of them the document stands in the index anew.
    return undefined;
  }

  load(): LoadedDocument | undefined {
    const { db, signal } = this;
    const { bodies } = this.options;
    const record = db.get(this.row.id);
    const mayLack = this.noted.isOverdue;
    return record && new LoadedDocument(db, record, bodies && { source: bodies, signal, mayLack });
  }

  async #step(document: LoadedDocument): Promise<Next> {
    if (document.live.length < 2) return 'done';
    if (document.bound > MOST_CHARACTERS) return deferred('its leaves are too large to be merged');
    const merge = await this.#functionFor(document);
    if (merge === undefined) return { state: 'kept' };
    const { journal } = this.db;
    let considered = await merge.consider(document, journal.bytes <= this.options.journal.maxBytes);
    if (considered.kind === 'tidy' || considered.kind === 'unasked') {
      // What is old enough makes room where there is none.
      if ((await roomAt(journal, this.options.journal)) !== undefined) return NO_ROOM;
      if (considered.kind === 'unasked') considered = await merge.consider(document, true);
    }
    return this.#act(document, considered);
  }

  async #functionFor(document: LoadedDocument): Promise<Merge | undefined> {
    const [winner] = document.live;
    if (winner === undefined) return undefined;
    if (this.rule.asksWinner) await document.read([winner]);
    const { id } = document.record;
    return await inTurns(this.rule.functionFor(() => valueOf(id, winner, document)));
  }

  async #act(document: LoadedDocument, considered: Considered): Promise<Next> {
    switch (considered.kind) {
      case 'none':
        return 'done';
      case 'tidy':
        return this.#tidy(document, considered.tombstones);
      case 'unasked':
        return 'again';
      case 'merged':
        return this.#merge(document, considered.writes, considered.entry);
      case 'unmerged': {
        const { hasFailed, reason, paths } = considered;
        return deferred(hasFailed ? `the merge function failed: ${reason}` : reason, paths);
      }
      case 'wait':
        return this.noted.isOverdue
          ? deferred(considered.reason)
          : { state: 'waiting', reason: considered.reason };
      case 'undone':
        return { state: 'undone' };
      case 'defer':
        return deferred(considered.reason, considered.paths);
    }
  }

  async #tidy(document: LoadedDocument, tombstones: readonly Tombstone[]): Promise<Next> {
    const edits = tombstones.map((one) => tombstoneEdit(document, one));
    const leaves = tombstones.map(({ leaf }) => leaf);
    const entry: TidyEntry = { kind: 'tidy', tombstones };
    const next = await this.#write(document, edits, JSON.stringify(entry), leaves);
    // What is left may have to be merged.
    return next === 'done' ? 'again' : next;
  }

  async #merge(document: LoadedDocument, writes: ResolvedWrites, entry: string): Promise<Next> {
    if (await inTurns(isLarger(writes.merged.body, this.options.limits.maxDocumentSize)))
      return deferred('the merged document would be larger than a document may be');
    return this.#write(document, editsOf(document, writes), entry, document.live);
  }

  /** @param keeps leaves that go: the journal has what they said */
  async #write(
    document: LoadedDocument,
    edits: ReturnType<typeof editsOf>,
    text: string,
    keeps: readonly string[],
  ): Promise<Next> {
    const writes = { id: document.record.id, ifLeaves: document.live, edits };
    // Before they are asked: others may be there by the time they answered.
    const refusedBy = judgesOf(this.db);
    const written = await this.db.resolve(writes, { journal: { text, keeps: document.kept(keeps) } });
    if (written.kind === 'changed') return 'again';
    if (written.kind === 'written') return 'done';
    const { edit, error } = written;
    return { ...deferred(`${edit.id} may not be written: ${error.reason}`), refusedBy };
  }
}

const deferred = (reason: string, paths?: readonly string[]): Left => ({
  state: 'deferred',
  reason,
  ...(paths !== undefined && { paths }),
});

const NO_ROOM: Next = {
  state: 'deferred',
  reason: 'the journal is full of what may still be undone (journal.maxSize, journal.minAge)',
  noRoom: true,
};

/** A leaf as selectors see it. */
function valueOf(id: string, rev: string, document: LoadedDocument): Json {
  const { body = '', attachments } = document.content(rev) ?? {};
  const value = JSON.parse(`{${body}}`) as Record<string, unknown>;
  const named = Array.from(attachments ?? [], ([name, { contentType, digest, length }]) => [
    name,
    { content_type: contentType, digest, length, stub: true },
  ]);
  return {
    ...value,
    _id: id,
    _rev: rev,
    ...(named.length > 0 && { _attachments: Object.fromEntries(named) as Json }),
  };
}
