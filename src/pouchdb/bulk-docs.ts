import { type ParsedDoc, parseDoc } from 'pouchdb-adapter-utils';
import { BAD_REQUEST, createError, INVALID_REV, type PouchError } from 'pouchdb-errors';
import { CouchError } from '../errors.js';
import type { BodyFacts } from '../store/body-facts.js';
import type { CompactionScope } from '../store/compact.js';
import type { LevelDatabase } from '../store/level-database.js';
import { type Portion, portions } from '../store/portions.js';
import type { Transaction } from '../store/transaction.js';
import type { DocumentEdit } from '../store/types/edits.js';
import type { BulkOptions, BulkResult, Doc, DocAttachment } from './api.js';
import { Intake } from './attachments.js';
import { toPouchError } from './failures.js';
import { isLocalId, putLocal, removeLocal } from './locals.js';
import { reviseDocument, revisionsOf } from './rules.js';

/** How one PouchDB object writes. */
export interface WriteSettings {
  /** The database's own when it is undefined. */
  readonly revsLimit: number | undefined;
  readonly deterministicRevs: boolean;
  /** Drops bodies that are no leaves' in the commit that makes them so. */
  readonly autoCompaction: boolean;
}

/** A document that was understood; its revision is only known when it is written. */
interface Draft {
  readonly parsed: ParsedDoc;
  readonly edit: DocumentEdit;
}

type Item = Draft | { readonly local: Doc };

/** What PouchDB compacts: it forgets no revisions. */
export const BODIES_ALONE: CompactionScope = { revsLimit: Infinity };

type Facts = ReadonlyMap<number, BodyFacts>;

const NO_FACTS: Facts = new Map();

/**
 * Writes documents, and the local ones among them. One result for each, in order.
 * @throws PouchError for what spoils the whole batch: a document that is not valid, a stub of an unknown attachment
 */
export async function bulkDocs(
  database: LevelDatabase,
  docs: readonly Doc[],
  options: BulkOptions,
  settings: WriteSettings,
): Promise<BulkResult[]> {
  const parsed = docs.map((doc) => (isLocalId(doc._id) ? { local: doc } : parse(doc, options, settings)));
  const intake = new Intake(database);
  try {
    const items: Item[] = [];
    for (const one of parsed) items.push('local' in one ? one : await draftOf(one, intake));
    return await new Batch(database, options, settings).write(items);
  } finally {
    await intake.release();
  }
}

/** @throws PouchError */
function parse(doc: Doc, { new_edits: newEdits }: BulkOptions, settings: WriteSettings): ParsedDoc {
  if (!newEdits && doc._revisions !== undefined && !isHistory(doc._revisions)) throw createError(INVALID_REV);
  // It would be taken for the history.
  delete doc._rev_tree;
  const parsed = parseDoc(doc, newEdits, { deterministic_revs: settings.deterministicRevs });
  if (!('metadata' in parsed)) throw parsed;
  // LevelDB would take all such ids for one.
  if (!parsed.metadata.id.isWellFormed())
    throw createError(BAD_REQUEST, '_id field must be well-formed text');
  return parsed;
}

function isHistory(revisions: unknown): boolean {
  const { start, ids } = (revisions ?? {}) as { start?: unknown; ids?: unknown };
  if (!Array.isArray(ids) || ids.length === 0 || !ids.every((hash) => typeof hash === 'string')) return false;
  return Number.isSafeInteger(start) && (start as number) >= ids.length;
}

async function draftOf(parsed: ParsedDoc, intake: Intake): Promise<Draft> {
  const { id, rev_tree: tree, deleted = false } = parsed.metadata;
  const { _attachments: attachments = {}, ...own } = parsed.data;
  const revisions = revisionsOf(tree);
  const taken = await intake.take(id, revisions, attachments as Record<string, DocAttachment>);
  const edit = { id, revisions, deleted, body: JSON.stringify(own).slice(1, -1) };
  return { parsed, edit: taken.size === 0 ? edit : { ...edit, attachments: taken } };
}

/** One batch while it is written. */
class Batch {
  readonly #results = new Map<Item, BulkResult>();
  readonly #drafts = new Map<DocumentEdit, Draft>();

  constructor(
    private readonly database: LevelDatabase,
    private readonly options: BulkOptions,
    private readonly settings: WriteSettings,
  ) {}

  async write(items: readonly Item[]): Promise<BulkResult[]> {
    const drafts = items.filter((item) => 'edit' in item);
    for (const draft of drafts) this.#drafts.set(draft.edit, draft);
    const edits = [...this.#drafts.keys()];
    const facts = this.settings.autoCompaction ? await this.#superseded(edits) : NO_FACTS;
    const locals = items.filter((item) => 'local' in item).map((item) => this.#writeLocal(item));
    const cut = edits.length === 0 ? [] : portions(edits);
    await Promise.all([...locals, ...cut.map((portion) => this.#writePortion(portion, facts))]);
    return items.map((item) => this.#results.get(item)).filter((result) => result !== undefined);
  }

  /** What must be known of the bodies that go, read before the commit. */
  async #superseded(edits: readonly DocumentEdit[]): Promise<Facts> {
    const records = await this.database.getMany(edits.map(({ id }) => id));
    return this.database.bodyFacts(records.flatMap((record) => [...(record?.bodySeqs.values() ?? [])]));
  }

  async #writeLocal(item: { readonly local: Doc }): Promise<void> {
    const write = item.local._deleted === true ? removeLocal : putLocal;
    this.#results.set(item, await write(this.database, item.local).catch(refusalOf));
  }

  #writePortion({ edits, weight }: Portion, facts: Facts): Promise<void> {
    const attached = edits.filter(({ attachments }) => attachments !== undefined);
    return this.database.transact({
      ids: edits.map(({ id }) => id),
      ...(attached.length > 0 && { attached: { edits: attached, newEdits: false } }),
      weight,
      run: (transaction) => {
        for (const edit of edits) {
          const draft = this.#drafts.get(edit);
          if (draft !== undefined) this.#results.set(draft, this.#writeDraft(transaction, draft));
        }
        if (!this.settings.autoCompaction) return;
        for (const { id } of edits) transaction.compact(id, facts, BODIES_ALONE);
      },
    });
  }

  #writeDraft(transaction: Transaction, { parsed, edit }: Draft): BulkResult {
    const { id } = edit;
    try {
      const revisions = this.options.new_edits
        ? reviseDocument(transaction.record(id), parsed, this.options)
        : edit.revisions;
      const rev = transaction.edit({ ...edit, revisions }, false, this.settings) ?? '';
      return { ok: true, id, rev };
    } catch (error) {
      return refusalOf(error);
    }
  }
}

/** A document that is refused is a result; everything else is a failure. */
function refusalOf(error: unknown): PouchError {
  const shown = error instanceof CouchError ? toPouchError(error) : error;
  if (isPouchError(shown)) return shown;
  throw error;
}

const isPouchError = (error: unknown): error is PouchError =>
  error instanceof Error && (error as Partial<PouchError>).error === true;
