/** What a process that runs a merge function is told, and what it says. All texts of conflicts and answers are JSON. */

/** Told once, before anything else. */
export interface Begin {
  /** Of the module. */
  readonly url: string;
  /** Characters that it may answer. */
  readonly mostCharacters: number;
}

/** The text of a conflict. */
export type Ask = string;

/** What it says when it has begun, and to each conflict. */
export interface Said {
  /** What the function returned; left out where it failed, and when it has begun. */
  readonly answer?: string;
  /** Why it failed. */
  readonly failure?: string;
  /** What it logged. */
  readonly log: readonly string[];
}
