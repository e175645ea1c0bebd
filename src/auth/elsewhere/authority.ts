/** What the upstream says of somebody. */
export interface Standing {
  /** Without those of a server itself, such as `_admin`. */
  readonly roles: readonly string[];
}

/** What the document of a user there says. */
export interface UserThere extends Standing {
  /** Stands for the password: another one has another mark. */
  readonly mark: string;
}

/** Asks the upstream about people. */
export interface Authority {
  /** Names the upstream; undefined where there is none. */
  readonly source: string | undefined;
  /**
   * What it says of a name and a password; undefined where it does not let them in.
   * @param address where they came from, which it is told
   * @throws CouchError 503 with `retryAfter` where it says neither
   */
  standingOf(name: string, password: Buffer, address: string): Promise<Standing | undefined>;
  /**
   * The document of a user; `missing` where there is none, `unknown` where the account of the gateway may not see it.
   * @throws CouchError 503 with `retryAfter` where it is away
   */
  documentOf(name: string): Promise<UserThere | 'missing' | 'unknown'>;
  /** @throws CouchError 503 with `retryAfter` where it is away */
  requireThere(): Promise<void>;
}
