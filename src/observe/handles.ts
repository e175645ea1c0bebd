import { readFileSync } from 'node:fs';

/** Files that one open database has open: its lock, its logs, its manifest, and those that are being made. */
const PER_DATABASE = 6;
/** LevelDB maps the first thousand tables of all databases; of the others it keeps up to this part of all files open. */
const TABLES = 1 / 5;
/** Connections and everything else. */
const BESIDE = 1000;

/**
 * A warning when the process may not open as many files as a full house needs; undefined when all is well,
 * or where the system does not tell.
 */
export function handleWarning(maxOpen: number, limit = openFileLimit()): string | undefined {
  const needed = Math.ceil((maxOpen * PER_DATABASE + BESIDE) / (1 - TABLES));
  if (limit === undefined || limit >= needed) return undefined;
  return `this process may open ${limit} files; ${needed} are advised for ${maxOpen} open databases (ulimit -n)`;
}

/** How many databases may be kept open, so that others can be opened, too: a third of all files is theirs at most. */
export function databasesWithin(maxDbsOpen: number, limit = openFileLimit()): number {
  if (limit === undefined) return maxDbsOpen;
  return Math.min(maxDbsOpen, Math.ceil(limit / 3 / PER_DATABASE));
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
  const databases = databasesWithin(maxDbsOpen, limit) * PER_DATABASE;
  const left = Math.floor(limit * (1 - TABLES)) - databases - RESERVED;
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
