import { readdir, readFile, readlink } from 'node:fs/promises';

const proc = (...parts: (string | number)[]): string => `/proc/${parts.join('/')}`;

/** The process that listens on a port of this machine; undefined where there is none, or it is another user's. */
export async function listenerOf(port: number): Promise<number | undefined> {
  const inodes = new Set([
    ...(await listening('/proc/net/tcp', port)),
    ...(await listening('/proc/net/tcp6', port)),
  ]);
  for (const pid of await processes()) {
    if ((await socketsOf(pid)).some((inode) => inodes.has(inode))) return pid;
  }
  return undefined;
}

/** Inodes of the sockets that listen on a port. */
async function listening(table: string, port: number): Promise<string[]> {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const lines = (await readFile(table, 'utf8').catch(absent)).split('\n').slice(1);
  return lines.flatMap((line) => {
    const fields = line.trim().split(/\s+/);
    const isListening = fields[1]?.endsWith(`:${hex}`) === true && fields[3] === '0A';
    return isListening && fields[9] !== undefined ? [fields[9]] : [];
  });
}

async function processes(): Promise<number[]> {
  return (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
}

async function socketsOf(pid: number): Promise<string[]> {
  const files = await readdir(proc(pid, 'fd')).catch(() => []);
  const targets = await Promise.all(files.map((file) => readlink(proc(pid, 'fd', file)).catch(absent)));
  return targets.flatMap((target) => /^socket:\[(\d+)\]$/.exec(target)?.[1] ?? []);
}

/** Processes come and go while they are looked at. */
const absent = (): string => '';

/** Microseconds of processor time that a process and all its descendants have used. */
export async function processorMicroseconds(root: number): Promise<number> {
  const stats = new Map<number, { parent: number; ticks: number }>();
  for (const pid of await processes()) {
    const text = await readFile(proc(pid, 'stat'), 'utf8').catch(absent);
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    // With the time of children that have ended and were waited for.
    const ticks = [11, 12, 13, 14].reduce((sum, field) => sum + Number(fields[field] ?? 0), 0);
    if (text !== '') stats.set(pid, { parent: Number(fields[1]), ticks });
  }
  const belongs = (pid: number): boolean => {
    for (let at = pid; at > 1; at = stats.get(at)?.parent ?? 0) if (at === root) return true;
    return false;
  };
  let ticks = 0;
  for (const [pid, stat] of stats) if (belongs(pid)) ticks += stat.ticks;
  return ticks * MICROSECONDS_PER_TICK;
}

/** Linux counts in hundredths of a second for everybody. */
const MICROSECONDS_PER_TICK = 10_000;
