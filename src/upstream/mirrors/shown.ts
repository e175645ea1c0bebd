import type { FlowStatus } from './flow.js';
import type { MirrorStatus } from './mirror.js';
import type { Mirrors } from './mirrors.js';

/** With how old the oldest change is that waits, and how long the rest may take, in seconds. */
export function inFigures(status: MirrorStatus): object {
  const { ahead, behind, oldest_unsent: oldest, pull, push } = status;
  return {
    ...status,
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
export function mirrorsInShort(mirrors: Pick<Mirrors, 'list' | 'noticed'>): object {
  const all = mirrors.list().map((mirror) => mirror.glance());
  const states: Record<string, number> = {};
  for (const { state } of all) states[state] = (states[state] ?? 0) + 1;
  const ordered = all.toSorted((a, b) => rank(a) - rank(b) || (b.ahead ?? 0) - (a.ahead ?? 0));
  return {
    total: all.length,
    states,
    ahead: all.reduce((sum, { ahead }) => sum + (ahead ?? 0), 0),
    changes_noticed: mirrors.noticed,
    databases: ordered.slice(0, MOST).map((status) => inFigures(status)),
  };
}

function rank({ state, ahead, push, pull }: MirrorStatus): number {
  if (state !== 'warm' && state !== 'warming') return 0;
  return ahead !== 0 ? 1 : push.running || pull.running ? 2 : 3;
}
