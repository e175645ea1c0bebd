/** What the command line says. */
export interface ReplicateCommand {
  readonly source: string;
  readonly target: string;
  readonly docIds: readonly string[];
  /** Mango, JSON. */
  readonly selector: string | undefined;
  readonly filter: string | undefined;
  /** JSON. */
  readonly queryParams: string | undefined;
  readonly since: string | undefined;
  readonly winningRevsOnly: boolean;
  readonly createTarget: boolean;
  readonly continuous: boolean;
  readonly checkpoints: boolean;
  readonly json: boolean;
  /** Files. */
  readonly caFile: string | undefined;
  readonly sourcePasswordFile: string | undefined;
  readonly targetPasswordFile: string | undefined;
  readonly config: string | undefined;
  readonly env: NodeJS.ProcessEnv;
}
