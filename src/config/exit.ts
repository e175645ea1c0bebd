/** The codes with which the program ends (sysexits.h's numbers). */
export const exitCodes = {
  /** `verify` found problems, or `replicate` could not copy everything. */
  findings: 1,
  /** Wrong command line. */
  usage: 64,
  /** The data directory, or a dump, holds something that this version cannot read. */
  dataFormat: 65,
  /** What a command is to read is not there. */
  noInput: 66,
  /** The address cannot be listened on, usually because the port is in use; or a server cannot be reached. */
  unavailable: 69,
  /** A defect, or a failure of the machine while running. */
  internal: 70,
  /** The data directory, or what a command is to write, cannot be made or written. */
  cannotWrite: 73,
  /** Another process uses the data directory, or writes to the same dump. */
  locked: 75,
  /** A server wants other credentials, or an account with more rights. */
  denied: 77,
  /** Bad configuration. */
  config: 78,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** Why the program cannot start: lines for a person, and the exit code. */
export class StartError extends Error {
  override readonly name = 'StartError';

  constructor(
    readonly lines: readonly string[],
    readonly exitCode: ExitCode,
    options?: ErrorOptions,
  ) {
    super(lines.join('\n'), options);
  }
}
