import type { ServerAccess } from '../server.js';

/** What `causeway conflicts` is asked for. */
export interface ConflictsCommand extends ServerAccess {
  readonly action: string;
  readonly database: string;
  /** The id of a document, or the number of an entry in the journal. */
  readonly about: string | undefined;
  /** List those in this state alone. */
  readonly state: string | undefined;
  /** What is previewed: the name of a function, or a file. */
  readonly functionName: string | undefined;
  /** What a conflict is resolved with: one of three. */
  readonly leaf: string | undefined;
  /** A file with JSON, or `-` for the standard input. */
  readonly body: string | undefined;
  readonly delete: boolean;
  /** Leaves that it has to have for that; any when there are none. */
  readonly ifLeaves: readonly string[];
  readonly json: boolean;
}

export const placeOf = (database: string): string => `_gateway/databases/${encodeURIComponent(database)}`;
