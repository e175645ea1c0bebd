/** A revision that a target refused for good, kept until it is written after all, or somebody drops it. */
export interface Rejection {
  readonly id: string;
  readonly rev: string;
  /** What the target answered: an HTTP status, and CouchDB's word and sentence. */
  readonly status: number;
  readonly error: string;
  readonly reason: string;
  /** When it was refused for the first and the last time; milliseconds since 1970. */
  readonly first: number;
  readonly last: number;
  readonly attempts: number;
}

/** What is known when a revision is refused. */
export interface Refused extends Pick<Rejection, 'id' | 'rev' | 'status' | 'error' | 'reason'> {
  /** Earlier revisions of its branch: what was kept of them is out of date. */
  readonly ancestors: readonly string[];
}

/** Names a list, and whose it is. Each owner has lists of their own. */
export interface ListKey {
  readonly name: string;
  readonly owner: string | null;
}

/** What is known of a list without reading it. */
export interface ListInfo extends ListKey {
  /** Whatever its user wants to know of it again; JSON. */
  readonly about: Readonly<Record<string, unknown>>;
  /** Rejections on it. */
  readonly count: number;
  /** Revisions that were refused when the list was full. */
  readonly unlisted: number;
  /** When it last changed; milliseconds since 1970. */
  readonly updated: number;
}
