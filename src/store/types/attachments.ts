/** How attachments come into the store and out of it. */
import type { ByteRange } from '../attachments/content.js';
import type { Source, StageOptions, StagedAttachment } from '../attachments/stage.js';

/** Must be released when the writes are done, whatever became of them. */
export interface AttachmentStaging {
  /** Bytes of what it took in that are in memory. */
  readonly heldBytes: number;
  /** Takes one attachment in. @throws CouchError, and whatever `source` throws; nothing is left of it then */
  take(source: Source, options: StageOptions): Promise<StagedAttachment>;
  /** Lets go of what is in no document. */
  release(): Promise<void>;
}

/** Attachments as they were at one moment, whatever is dropped meanwhile. Must be closed. */
export interface AttachmentReader {
  /** Bytes of an attachment, in pieces. @param digest of its plain or its encoded form */
  read(digest: string, range: ByteRange): AsyncIterable<Buffer>;
  close(): Promise<void>;
}
