import type { Matcher } from '../selector/match.js';
import type { DocumentExtras } from '../store/document.js';
import type { ChangeRow } from '../store/types/changes.js';
import type { StoredRevision } from '../store/types/records.js';

/** What a client asks of `_changes`, parsed. */
export interface ChangesQuery {
  readonly feed: 'normal' | 'longpoll' | 'continuous' | 'eventsource';
  /** Exclusive. */
  readonly since: number;
  /** `Infinity` for all. */
  readonly limit: number;
  readonly descending: boolean;
  readonly style: 'main_only' | 'all_docs';
  readonly includeDocs: boolean;
  /** With `includeDocs`: shows `_conflicts` in the documents. */
  readonly conflicts: boolean;
  /** The text of a stored document as the client is to see it, where it is not just sent. */
  readonly show?: (stored: string, extras: DocumentExtras) => string;
  readonly filter?: ChangesFilter;
  /** Every so many milliseconds of silence a sign of life is sent, and the feed never ends by itself. */
  readonly heartbeat?: number;
  /** Without a heartbeat the feed ends after so many milliseconds of silence. */
  readonly timeout: number;
  /** A longpoll ends after so many milliseconds, whatever its heartbeat; never, if not given. */
  readonly lifetime?: number;
  /** Only every so many rows show their sequence. */
  readonly seqInterval?: number;
  /**
   * What the feed tells instead of a row; undefined where it passes over it. Such a feed does not say how many rows
   * are pending: they are the database's, not its own.
   */
  readonly retell?: (row: ChangeRow) => ChangeRow | undefined;
}

export type ChangesFilter =
  | {
      readonly kind: 'doc_ids';
      readonly ids: ReadonlySet<string>;
      /** Whether they are so few that looking each up is cheaper than walking the index. */
      readonly few?: boolean;
    }
  | { readonly kind: 'design' }
  | {
      readonly kind: 'selector';
      /** The text `{"_id": …}` of a winner → whether it passes. */
      readonly matches: Matcher;
      /** With `includeDocs`: only these members are shown. */
      readonly project?: (document: Record<string, unknown>) => Record<string, unknown>;
    }
  | {
      readonly kind: 'function';
      /** Which of these pass, in their order. It may take long; a feed that is over does not wait for it. */
      readonly judge: (revisions: readonly FilteredRevision[]) => Promise<readonly boolean[]>;
    };

/** A revision that a filter looks at. */
export interface FilteredRevision extends StoredRevision {
  /** As it is stored. */
  readonly text: string;
}
