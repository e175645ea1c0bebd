import type { ClassicLevel } from 'classic-level';
import { missingStub } from '../errors.js';
import type { Holds } from './attachments/holds.js';
import { type Attachment, attachmentsMember, readAttachments } from './attachments/members.js';
import { type Batch, Refs } from './attachments/refs.js';
import {
  parentOf,
  type Resolved,
  resolveAttachments,
  type ResolvedAttachment,
  settle,
} from './attachments/resolve.js';
import { interrupted } from './attachments/uploads.js';
import type { BodyFacts } from './body-facts.js';
import { BodyWrites } from './body-writes.js';
import type { BaseWrites } from './conflicts/base-writes.js';
import { storedText } from './document.js';
import type { LargeBodies } from './large-bodies.js';
import * as layout from './layout.js';
import type { StoredDocument } from './record.js';
import type { AttachmentEdit, DocumentEdit } from './types/edits.js';

interface ContentsContext {
  readonly level: ClassicLevel;
  readonly holds: Holds;
  readonly largeBodies: LargeBodies;
}

/** What one commit does to what revisions hold: their bodies, and what is attached to them. */
export class Contents {
  readonly refs: Refs;
  readonly bodies: BodyWrites;
  /** Sequence → what is attached to the body there, where it was read beforehand. */
  readonly #attachments = new Map<number, ReadonlyMap<string, Attachment>>();

  /** @param bases is told of bodies that go, or get another sequence */
  constructor(
    private readonly context: ContentsContext,
    private readonly bases: Pick<BaseWrites, 'dropped'>,
    batch: Batch,
  ) {
    this.refs = new Refs(context.level, context.holds);
    this.bodies = new BodyWrites(context.level, context.largeBodies, batch);
  }

  /**
   * Reads what the attachments of edits will need; there may be thousands.
   * @param recordOf documents as they are before the edits
   */
  async load(
    edits: readonly DocumentEdit[],
    newEdits: boolean,
    recordOf: (id: string) => StoredDocument | undefined,
  ): Promise<void> {
    const digests = new Set<string>();
    const seqs: number[] = [];
    for (const edit of edits) {
      for (const one of edit.attachments?.values() ?? [])
        for (const digest of digestsOf(one)) digests.add(digest);
      const record = recordOf(edit.id);
      const parent = edit.attachments === undefined ? undefined : parentOf(edit, { record, newEdits });
      const seq = parent === undefined ? undefined : record?.bodySeqs.get(parent);
      if (seq !== undefined) seqs.push(seq);
    }
    const texts = await this.context.level.getMany(seqs.map((seq) => layout.bodies.key(layout.seqKey(seq))));
    for (const [at, seq] of seqs.entries()) {
      const attachments = readAttachments(texts[at] ?? '{}');
      this.#attachments.set(seq, attachments);
      for (const { digest, encoded } of attachments.values()) {
        digests.add(digest);
        if (encoded !== undefined) digests.add(encoded.digest);
      }
    }
    await this.refs.load([...digests]);
  }

  /** What is attached to the revision that an edit makes. @param record the document as it is before */
  resolve(edit: DocumentEdit, record: StoredDocument | undefined, newEdits: boolean): Resolved {
    const { attachments } = edit;
    if (attachments === undefined) return NOTHING;
    return resolveAttachments(
      { ...edit, attachments },
      {
        record,
        newEdits,
        attachmentsOf: (rev) => this.#attachmentsAt(record?.bodySeqs.get(rev) ?? 0),
        has: (digest) => this.refs.has(digest),
      },
    );
  }

  #attachmentsAt(seq: number): ReadonlyMap<string, Attachment> {
    return this.#attachments.get(seq) ?? readAttachments(this.bodies.at(seq) ?? '{}');
  }

  /** @throws CouchError 412 for an attachment that is not there, 503 for one whose bytes were lost on the way */
  requireBytes(id: string, { attachments, missing }: Resolved): void {
    if (missing !== undefined) throw missingStub(id, missing);
    for (const { staged } of attachments.values()) {
      const forms = staged === undefined ? [] : [staged.plain, staged.gzip ?? staged.plain];
      if (!forms.every((form) => this.refs.hasBytes(form))) throw interrupted();
    }
  }

  /** What a new revision holds. */
  put(
    seq: number,
    { id, deleted, body }: DocumentEdit,
    rev: string,
    attachments: ReadonlyMap<string, ResolvedAttachment>,
  ): void {
    for (const { digest, encoded, staged } of attachments.values()) {
      this.refs.add(digest, id, rev, staged?.plain);
      if (encoded !== undefined) this.refs.add(encoded.digest, id, rev, staged?.gzip);
    }
    const hasAttachments = attachments.size > 0;
    const member = hasAttachments ? attachmentsMember(settle(attachments, rev)) : '';
    const all = body === '' || member === '' ? body + member : `${body},${member}`;
    this.bodies.put(seq, storedText(id, rev, deleted, all), hasAttachments);
  }

  /** A revision gets another sequence. It stays what it is, and so do its attachments. */
  move(from: number, to: number): void {
    this.bases.dropped(from);
    this.bodies.move(from, to);
  }

  /** @param facts about the body; read where they are left out */
  drop(id: string, seq: number, facts?: BodyFacts): void {
    this.bases.dropped(seq);
    const { rev, attachments } = this.bodies.drop(seq, facts);
    for (const form of attachments) this.refs.remove(form, id, rev);
  }
}

/** What an edit will look for under its digest. */
function digestsOf(edit: AttachmentEdit): readonly string[] {
  if (edit.kind === 'stub') return [];
  const [plain, encoded] =
    edit.kind === 'staged'
      ? [edit.staged.plain, edit.staged.gzip]
      : [edit.attachment, edit.attachment.encoded];
  return encoded === undefined ? [plain.digest] : [plain.digest, encoded.digest];
}

const NOTHING: Resolved = { attachments: new Map(), missing: undefined };
