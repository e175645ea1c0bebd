import { readFileSync } from 'node:fs';

/** Files that one open database and its LevelDB have open under load. */
const PER_DATABASE = 40;
/** Connections and everything else. */
const BESIDE = 1000;

/**
 * A warning when the process may not open as many files as a full house needs; undefined when all is well,
 * or where the system does not tell.
 */
export function handleWarning(maxOpen: number, limit = openFileLimit()): string | undefined {
  const needed = maxOpen * PER_DATABASE + BESIDE;
  if (limit === undefined || limit >= needed) return undefined;
  return `this process may open ${limit} files; ${needed} are advised for ${maxOpen} open databases (ulimit -n)`;
}

/** What else needs files. */
const RESERVED = 100;

/**
 * How many connections may be open, so that databases can be opened beside them: LevelDB takes a file that it cannot
 * open for a broken disk.
 */
export function connectionsWithin(
  { maxConnections, maxDbsOpen }: { readonly maxConnections: number; readonly maxDbsOpen: number },
  limit = openFileLimit(),
): number {
  if (limit === undefined) return maxConnections;
  const left = limit - maxDbsOpen * PER_DATABASE - RESERVED;
  return Math.min(maxConnections, Math.max(left, Math.ceil(limit / 4)));
}

/** How many files this process may open (Node has raised the soft limit to the hard one); Linux only. */
function openFileLimit(): number | undefined {
  let limits: string;
  try {
    limits = readFileSync('/proc/self/limits', 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
  return soft === undefined ? undefined : Number(soft);
}
