/** Why a document is in conflict and not merged, as the store keeps it in the row of the conflict. */
export interface ConflictState {
  /**
   * `deferred`: somebody must look at it. `waiting`: for what replication may still bring. `undone`: somebody wanted its
   * leaves back. `kept`: the rule has no function for it.
   */
  readonly state: 'deferred' | 'waiting' | 'undone' | 'kept';
  readonly reason?: string;
  /** JSON pointers of what could not be merged. */
  readonly paths?: readonly string[];
  /** It is looked at again when the journal has room. */
  readonly noRoom?: true;
  /** `judgesOf` those who refused what was to be written: it is looked at again when there are others. */
  readonly refusedBy?: string;
  /** Since when, in milliseconds since 1970. */
  readonly since: number;
  /** Version of the rule by which that was decided. */
  readonly rule: string;
}

export const stateText = (state: ConflictState): string => JSON.stringify(state);

/** @returns undefined for what is none */
export function parseState(text: string | undefined): ConflictState | undefined {
  if (text === undefined) return undefined;
  try {
    const state = JSON.parse(text) as ConflictState;
    return typeof state.rule === 'string' && Number.isSafeInteger(state.since) ? state : undefined;
  } catch {
    return undefined;
  }
}
