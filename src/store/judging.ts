import { conflict, type CouchError, missingStub } from '../errors.js';
import { inTurns, type Work } from '../json/turns.js';
import { revOf } from '../revtree/tree.js';
import { extended } from './apply.js';
import { readAttachments } from './attachments/members.js';
import { parentOf, type ResolvedAttachment, resolveAttachments } from './attachments/resolve.js';
import { BodyPages, type BodySource, type Read } from './body-pages.js';
import { documentOf, revisionText } from './change-text.js';
import { Queue } from './queue.js';
import type { StoredRecord } from './record.js';
import type { AttachmentEdit, DocumentEdit, EditResult, WriteOptions } from './types/edits.js';
import type { StoredRevision } from './types/records.js';
import type { Change, Judge, Rules } from './types/rules.js';

/** An edit as it may be written, or why it may not. */
export type Judged =
  | {
      readonly edit: DocumentEdit;
      /** The revision is stored: its body was not judged, and may be none that would be stored now. */
      readonly isStored?: true;
    }
  | { readonly error: CouchError };

/** Where it is looked up what edits replace. */
export interface JudgingSource extends BodySource<StoredRevision | undefined> {
  getMany(ids: readonly string[]): Promise<readonly (StoredRecord | undefined)[]>;
}

/** An edit that is to be judged. */
interface Pending {
  /** Its place among all. */
  readonly at: number;
  readonly edit: DocumentEdit;
  readonly record: StoredRecord | undefined;
  /** The revision that it replaces. */
  readonly base: StoredRevision | undefined;
}

/** An edit as it is shown, and as it is written once it was found good. */
interface Shown {
  readonly at: number;
  readonly edit: DocumentEdit;
  readonly change: Change;
}

/** Has the edits of one batch judged. */
export class Judging {
  /** One part of the batch is judged at a time: however large it is, it holds only few of the bodies that it replaces. */
  readonly #parts = new Queue();

  constructor(
    private readonly source: JudgingSource,
    readonly options: WriteOptions,
  ) {}

  /** Judges a part of the batch, in order. Conflicts come first, as in CouchDB, and are told no more than that. */
  verdicts(edits: readonly DocumentEdit[], rules: Rules): readonly Judged[] | Promise<readonly Judged[]> {
    const judged = edits.map((edit): Judged => ({ edit }));
    const { judge } = this.options;
    if (judge === undefined || rules.validators.length === 0) return judged;
    return this.#parts.add(() => this.#ask(judge, rules, edits, judged));
  }

  async #ask(
    judge: Judge,
    rules: Rules,
    edits: readonly DocumentEdit[],
    judged: Judged[],
  ): Promise<readonly Judged[]> {
    const records = await this.source.getMany(edits.map(({ id }) => id));
    const pending = await inTurns(this.#select(judged, edits, records));
    for await (const page of this.#pages(pending)) {
      const shown = await inTurns(this.#show(judged, page));
      const changes = shown.map(({ change }) => change);
      const errors = await judge.judge(rules, changes);
      for (const [index, { at, edit }] of shown.entries()) {
        const error = errors[index];
        judged[at] = error === undefined ? { edit } : { error };
      }
    }
    return judged;
  }

  /** Those that replace nothing are shown all at once: each page is one more way to a thread and back. */
  async *#pages(pending: readonly Pending[]): AsyncGenerator<readonly Read<Pending>[]> {
    const [replacing, others] = [pending.filter(({ base }) => base), pending.filter(({ base }) => !base)];
    if (others.length > 0) yield others.map((item) => ({ item, text: undefined }));
    yield* new BodyPages(this.source).pages(replacing, ({ base }) => base);
  }

  /** What would be written, but for design documents: those are for admins, and no function judges them. */
  *#select(
    judged: Judged[],
    edits: readonly DocumentEdit[],
    records: readonly (StoredRecord | undefined)[],
  ): Work<readonly Pending[]> {
    const pending: Pending[] = [];
    for (const [at, edit] of edits.entries()) {
      const record = records[at];
      if (edit.id.startsWith('_design/')) continue;
      if (this.options.newEdits && isConflict(record, edit)) judged[at] = { error: conflict() };
      else if (!this.options.newEdits && hasBody(record, edit)) judged[at] = { edit, isStored: true };
      else {
        const rev = parentOf(edit, { record, newEdits: this.options.newEdits });
        pending.push({ at, edit, record, base: record && rev !== undefined ? { record, rev } : undefined });
      }
      yield;
    }
    return pending;
  }

  *#show(judged: Judged[], page: readonly Read<Pending>[]): Work<readonly Shown[]> {
    const shown: Shown[] = [];
    for (const { item, text } of page) {
      const { at, edit, base } = item;
      const { attachments, missing } = this.#resolve(item, text);
      if (missing !== undefined) {
        judged[at] = { error: missingStub(edit.id, missing) };
      } else {
        const document = documentOf(edit, attachments);
        const before = base === undefined || text === undefined ? 'null' : revisionText(base, text);
        shown.push({ at, edit: kept(edit, attachments), change: { document, before } });
      }
      yield;
    }
    return shown;
  }

  #resolve({ edit, record }: Pending, text: string | undefined): ReturnType<typeof resolveAttachments> {
    const { attachments = NONE } = edit;
    return resolveAttachments(
      { ...edit, attachments },
      {
        record,
        newEdits: this.options.newEdits,
        attachmentsOf: () => readAttachments(text ?? '{}'),
        // That is found out when they are written.
        has: () => true,
      },
    );
  }
}

const NONE: ReadonlyMap<string, AttachmentEdit> = new Map();

/** An edit of a document that is not there names no revision, where it is judged. */
const isConflict = (record: StoredRecord | undefined, edit: DocumentEdit): boolean =>
  record === undefined ? edit.revisions.ids.length > 0 : extended(record, edit) === undefined;

/** Whether a replicated edit brings nothing that would be stored, but perhaps more of its ancestors. */
export const hasBody = (
  record: StoredRecord | undefined,
  { revisions: { start, ids } }: DocumentEdit,
): boolean => record?.bodySeq(revOf(start, ids[0] ?? '')) !== undefined;

/** The edit with those attachments that were judged, whatever becomes of the revision that its stubs are looked up in. */
function kept(edit: DocumentEdit, resolved: ReadonlyMap<string, ResolvedAttachment>): DocumentEdit {
  if (edit.attachments === undefined) return edit;
  const attachments = Array.from(edit.attachments, ([name, one]): [string, AttachmentEdit] => {
    const attachment = resolved.get(name);
    if (one.kind !== 'stub' || attachment?.revpos === undefined) return [name, one];
    return [name, { kind: 'shared', attachment: { ...attachment, revpos: attachment.revpos } }];
  });
  return { ...edit, attachments: new Map(attachments) };
}

/** The edits that may be written. */
export const accepted = (judged: readonly Judged[]): readonly DocumentEdit[] =>
  judged.flatMap((one) => ('edit' in one ? [one.edit] : []));

/** One result for each edit. @param written of those that may be written */
export function resultsOf(judged: readonly Judged[], written: readonly EditResult[]): EditResult[] {
  let next = 0;
  return judged.map((one) => {
    const result = 'edit' in one ? written[next++] : { ok: false as const, error: one.error };
    if (result === undefined) throw new TypeError('the store gave no result for an edit');
    return result;
  });
}
