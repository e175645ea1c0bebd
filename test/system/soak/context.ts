import { appendFile, mkdir, readFile, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** What a soak is asked for. */
export interface SoakOptions {
  /** First and last round, both included, counted from 1; all of them when left out. */
  readonly rounds: { readonly from: number; readonly to: number } | undefined;
  readonly seed: number;
}

/** Why a soak cannot run here, in one line. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
}

/** What every soak is given. */
export class SoakContext {
  readonly #end = performance.now() + BUDGET_MS;
  readonly #started = performance.now();

  constructor(
    readonly name: string,
    readonly options: SoakOptions,
    /** Where results are kept, and what the next call goes on with. */
    readonly folder: string,
  ) {}

  /** Whether it is time to stop, and to let the next call go on. */
  get isSpent(): boolean {
    return performance.now() > this.#end;
  }

  /** Seconds since the call began. */
  get seconds(): number {
    return Math.round((performance.now() - this.#started) / 100) / 10;
  }

  say(text: string): void {
    process.stdout.write(`${this.name}: ${text}\n`);
  }

  /** Adds a line of JSON to the results. */
  async record(result: Record<string, unknown>): Promise<void> {
    const line = { time: new Date().toISOString(), name: this.name, seed: this.options.seed, ...result };
    await appendFile(path.join(this.folder, 'results.jsonl'), `${JSON.stringify(line)}\n`);
    this.say(JSON.stringify(result));
  }

  /** @throws Refusal where a process may not open so many files and sockets. */
  async needHandles(count: number): Promise<void> {
    const limits = await readFile('/proc/self/limits', 'utf8');
    const [, limit = '0'] = /^Max open files +(\S+)/m.exec(limits) ?? [];
    if (limit !== 'unlimited' && Number(limit) < count)
      throw new Refusal(
        `needs ${String(count)} open files for each process, the limit is ${limit} (ulimit -n)`,
      );
  }

  /** @throws Refusal where the disk has less room. */
  async needDisk(bytes: number): Promise<void> {
    for (const folder of new Set([this.folder, tmpdir()])) {
      const { bavail, bsize } = await statfs(folder);
      if (bavail * bsize < bytes) {
        const [wanted, free] = [bytes, bavail * bsize].map((size) => `${(size / 1e9).toFixed(1)} GB`);
        throw new Refusal(`needs ${wanted ?? ''} of disk in ${folder}, there are ${free ?? ''}`);
      }
    }
  }
}

/** A call ends before it is 9 minutes old. */
const BUDGET_MS = 8 * 60_000;

/** The folder of the results, outside of the tree. */
export async function soakFolder(): Promise<string> {
  const folder = path.join(process.env.XDG_STATE_HOME ?? tmpdir(), 'causeway-soak');
  await mkdir(folder, { recursive: true });
  return folder;
}
