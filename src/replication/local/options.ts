import type { ChangesFilter } from '../../changes/query.js';
import type { DocumentLimits } from '../../store/document.js';
import type { Database } from '../../store/types/database.js';
import type { Origin } from '../../store/types/edits.js';
import type { DatabaseProperties } from '../../store/types/properties.js';
import type { JsonObject } from '../peer.js';

/** A database here, as the user sees it for whom a replication runs. */
export interface LocalAccess {
  /**
   * Keeps the database open while `work` runs. What is written through it is judged: `write` answers 403 or 401 for what
   * the user may not write.
   * @throws CouchError 404 where there is none, 401 or 403 where the user may not see it
   */
  use<T>(work: (database: Database) => Promise<T>): Promise<T>;
  /** Makes it where there is none. @throws CouchError 401 or 403 where the user may not */
  create(properties: DatabaseProperties): Promise<void>;
}

export interface LocalPeerOptions {
  /** See `Peer.name`. */
  readonly name: string;
  readonly access: LocalAccess;
  /** Where what is written comes from; `local` where it is left out. */
  readonly origin?: Origin;
  /** Of what is written. */
  readonly documents: DocumentLimits;
  readonly attachments: {
    /** Bytes that one may have. */
    readonly maxSize: number;
    /** Types that are stored compressed as well. */
    readonly compressible: RegExp;
    /** Of zlib; 0 for none. */
    readonly compressionLevel: number;
  };
  /**
   * The filter of a name such as `design/filter`.
   * @throws CouchError 404 where there is none
   */
  readonly filter: (database: Database, name: string, queryParams: JsonObject) => Promise<ChangesFilter>;
}
