import type { MirrorRule } from '../rules.js';
import type { FlowStatus } from './flow.js';
import type { Mirror } from './mirror.js';
import type { MirrorState } from './state.js';

/** What is shown of a mirror. */
export interface MirrorStatus {
  readonly name: string;
  readonly state: MirrorState;
  /** Whether it is served from here. */
  readonly warm: boolean;
  readonly reason: string | null;
  /** When it came to be so. */
  readonly since: string;
  readonly direction: MirrorRule['direction'];
  /** Changes here that are not upstream yet; null where nobody knows without opening the database. */
  readonly ahead: number | null;
  /** When the oldest of them was written, as far as that is known. */
  readonly oldest_unsent: string | null;
  /** Changes upstream that are not here yet; null where nobody knows. */
  readonly behind: number | null;
  readonly last_error: { readonly at: string; readonly reason: string } | null;
  /** When everything had last flowed that was known of. */
  readonly last_synced: string | null;
  readonly pull: FlowStatus;
  readonly push: FlowStatus;
}

/** What went wrong last. */
export interface Failure {
  readonly at: Date;
  readonly reason: string;
}

/** What a mirror does not tell anybody else. */
interface Course {
  readonly since: Date;
  readonly lastError: Failure | undefined;
  readonly lastSynced: Date | undefined;
  /** Changes that wait; null where nobody knows. */
  readonly ahead: number | null;
  /** When the oldest of them was written, as far as that is known. */
  readonly oldest: Date | undefined;
}

export function statusOf(
  { name, standing, rule, pull, push }: Mirror,
  { since, lastError, lastSynced, ahead, oldest }: Course,
): MirrorStatus {
  const { direction } = rule;
  return {
    name,
    state: standing.state,
    warm: standing.isWarm,
    reason: standing.reason ?? null,
    since: since.toISOString(),
    direction,
    ahead,
    oldest_unsent: ahead === 0 ? null : (oldest?.toISOString() ?? null),
    behind: direction === 'push' ? 0 : (pull.pending ?? null),
    last_error: lastError ? { at: lastError.at.toISOString(), reason: lastError.reason } : null,
    last_synced: lastSynced?.toISOString() ?? null,
    pull: pull.status,
    push: push.status,
  };
}
