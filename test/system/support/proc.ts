import { readdir, readFile, readlink } from 'node:fs/promises';
import path from 'node:path';

/** Bytes of the process's own memory; the files that LevelDB maps are not in it. */
export async function anonymousMemory(pid: number): Promise<number> {
  const status = await readFile(`/proc/${String(pid)}/status`, 'utf8');
  const [, kilobytes] = /^RssAnon:\s+(\d+) kB$/m.exec(status) ?? [];
  if (kilobytes === undefined) throw new Error(`/proc/${String(pid)}/status names no RssAnon`);
  return Number(kilobytes) * 1024;
}

/** How many sockets a process has open. */
export const openSockets = async (pid: number): Promise<number> => (await socketsOf(pid)).length;

/** The TCP ports that a process listens on. */
export async function listeningPorts(pid: number): Promise<readonly number[]> {
  const own = new Set(await socketsOf(pid));
  const tables = await Promise.all(['tcp', 'tcp6'].map((name) => readFile(`/proc/net/${name}`, 'utf8')));
  return tables.flatMap((table) =>
    table.split('\n').flatMap((line) => {
      const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/);
      const isListening = state === LISTEN && own.has(`socket:[${inode}]`);
      return isListening ? [parseInt(local.slice(local.indexOf(':') + 1), 16)] : [];
    }),
  );
}

/** How Linux writes that state. */
const LISTEN = '0A';

async function socketsOf(pid: number): Promise<readonly string[]> {
  const folder = `/proc/${String(pid)}/fd`;
  const targets = await Promise.all(
    (await readdir(folder)).map((fd) =>
      readlink(path.join(folder, fd)).catch((error: unknown) => {
        // Closed since the folder was listed.
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
        throw error;
      }),
    ),
  );
  return targets.filter((target) => target.startsWith('socket:'));
}

/** Ticks of processor time that a process has used. */
export async function processorTicks(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${String(pid)}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

/** Watches a process's memory, every 100 ms, until it is stopped. */
export class MemoryWatch {
  #peak = 0;
  #samples = 0;
  #failure: unknown;
  readonly #timer: NodeJS.Timeout;

  constructor(private readonly pid: number) {
    this.#timer = setInterval(() => void this.#sample(), 100);
  }

  async #sample(): Promise<void> {
    try {
      this.#peak = Math.max(this.#peak, await anonymousMemory(this.pid));
      this.#samples += 1;
    } catch (error) {
      this.#failure ??= error;
    }
  }

  /** @returns the most bytes that were seen. */
  async stop(): Promise<number> {
    await this.#sample();
    clearInterval(this.#timer);
    if (this.#failure !== undefined)
      throw new Error('the memory could not be read', { cause: this.#failure });
    return this.#peak;
  }

  get samples(): number {
    return this.#samples;
  }
}

export const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
