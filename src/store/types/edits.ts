/** What is written, and what became of it. */
import type { CouchError } from '../../errors.js';
import type { Attachment } from '../attachments/members.js';
import type { StagedAttachment } from '../attachments/stage.js';
import type { Revisions } from './records.js';
import type { Judge } from './rules.js';

/** A write of one document, already checked by `parseDocument` (document.ts). */
export interface DocumentEdit {
  readonly id: string;
  /**
   * Interactive edits (`new_edits=true`): the revision that is being edited, or `{start: 0, ids: []}`.
   * Replicated edits: the revision itself and its known ancestors.
   */
  readonly revisions: Revisions;
  readonly deleted: boolean;
  /** The document's own members as JSON text without braces, `"a":1,"b":[2]`; empty when it has none. */
  readonly body: string;
  /** By name, in the order of the document; left out where it has none. */
  readonly attachments?: ReadonlyMap<string, AttachmentEdit>;
}

/** What a write says of one attachment. */
export type AttachmentEdit =
  /** It stays as the revision below has it: with this `revpos`, where one is given. */
  | { readonly kind: 'stub'; readonly revpos: unknown }
  /** It is another revision's, and shares its bytes. */
  | { readonly kind: 'shared'; readonly attachment: Attachment }
  | {
      readonly kind: 'staged';
      readonly contentType: string;
      /** The generation of the revision that is written when left out. */
      readonly revpos: number | undefined;
      readonly staged: StagedAttachment;
      /** See `EncodedForm`; the plain length when left out. */
      readonly shownLength?: number | undefined;
    };

export type EditResult =
  { readonly ok: true; readonly rev: string } | { readonly ok: false; readonly error: CouchError };

export interface WriteOptions {
  /** false: the revisions are stored as they are (replication); true: new revisions are made, conflicts refused. */
  readonly newEdits: boolean;
  /** Who says which documents may be written; all may where it is left out. */
  readonly judge?: Judge;
  /** `upstream`: the server behind this one has the revisions already, so that they need not be sent there. */
  readonly origin?: Origin;
}

/** Where revisions come from; everything but what was pulled from the upstream is `local`. */
export type Origin = 'local' | 'upstream';
