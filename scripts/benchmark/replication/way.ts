/** A way to bring the documents from one place to another, which is new each time. */
export interface Way {
  readonly name: string;
  /** The way beside which its rate is told. */
  readonly beside?: string;
  run(round: number): Promise<void>;
}

/** Calls each of these at the end, the last one first. */
export type CleanUp = (() => Promise<unknown>)[];
