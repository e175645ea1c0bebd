/** A merge function that is not built in gave no answer. */
export class ForeignError extends Error {
  override readonly name = 'ForeignError';

  constructor(
    message: string,
    /** It took too much time or memory: others waited for that. */
    readonly isCostly = false,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** It cannot be asked now, and that is not its fault. */
export class CageUnavailable extends Error {
  override readonly name = 'CageUnavailable';
}

/** Where a merge function runs that is not built in: what it does there concerns nobody else. Must be closed. */
export interface Cage {
  /**
   * Asks the function. Whoever else asks waits meanwhile.
   * @param conflict the text of a `Conflict`
   * @returns JSON text of what it returned, whatever that is
   * @throws ForeignError where it throws, or takes too much; CageUnavailable
   */
  ask(conflict: string): Promise<string>;
  close(): void;
}
