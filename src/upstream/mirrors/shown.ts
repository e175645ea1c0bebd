import type { UpstreamStatus } from '../status.js';
import type { FlowStatus } from './flow.js';
import type { Mirrors } from './mirrors.js';
import type { MirrorStatus } from './status.js';

/** Why nothing flows in any mirror: the upstream is not there for it. */
export type Absence = Pick<UpstreamStatus, 'state' | 'since'>;

/** Null while requests get through, and where there is no upstream. */
export function absenceOf({
  isOnline,
  status,
}: {
  isOnline: boolean;
  status: UpstreamStatus | undefined;
}): Absence | null {
  if (isOnline || status === undefined) return null;
  // Why is for admins, who have it in the status.
  const { state, since } = status;
  return { state, since };
}

/** For a person. */
export const absenceText = ({ state, since }: Absence): string => `the upstream is ${state} since ${since}`;

/**
 * With how old the oldest change is that waits, how long the rest may take, in seconds, and whether the upstream is there
 * for it.
 */
export function inFigures(status: MirrorStatus, upstream: Absence | null): object {
  const { ahead, behind, oldest_unsent: oldest, pull, push } = status;
  return {
    ...status,
    upstream,
    oldest_unsent_age:
      oldest === null ? null : Math.max(0, Math.floor((Date.now() - Date.parse(oldest)) / 1000)),
    push: { ...push, seconds_left: secondsLeft(ahead, push) },
    pull: { ...pull, seconds_left: secondsLeft(behind, pull) },
  };
}

/** Null where nobody can tell. */
function secondsLeft(documents: number | null, { rate }: FlowStatus): number | null {
  if (documents === null) return null;
  if (documents === 0) return 0;
  return rate > 0 ? Math.ceil(documents / rate) : null;
}

/** Mirrors that a status shows one by one. */
const MOST = 100;

/** All mirrors in a few figures, and those one by one that need somebody, or have most to do. Nothing is opened for it. */
export function mirrorsInShort(mirrors: Pick<Mirrors, 'list' | 'noticed' | 'absence'>): object {
  const all = mirrors.list().map((mirror) => mirror.glance());
  const states: Record<string, number> = {};
  for (const { state } of all) states[state] = (states[state] ?? 0) + 1;
  const ordered = all.toSorted((a, b) => rank(a) - rank(b) || (b.ahead ?? 0) - (a.ahead ?? 0));
  return {
    total: all.length,
    states,
    ahead: all.reduce((sum, { ahead }) => sum + (ahead ?? 0), 0),
    changes_noticed: mirrors.noticed,
    databases: ordered.slice(0, MOST).map((status) => inFigures(status, mirrors.absence)),
  };
}

function rank({ state, ahead, push, pull }: MirrorStatus): number {
  if (state !== 'warm' && state !== 'warming') return 0;
  return ahead !== 0 ? 1 : push.running || pull.running ? 2 : 3;
}
