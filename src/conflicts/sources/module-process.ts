import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { constants, setPriority } from 'node:os';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { compiled } from '../../compiled.js';
import { Queue } from '../../store/queue.js';
import { type Cage, CageUnavailable, ForeignError } from './cage.js';
import type { Ask, Begin, Said } from './protocol.js';

/** Megabytes. */
const HEAP = 64;
const YOUNG = 8;
/** Characters that a function may answer: more than a document may have. */
const MOST_CHARACTERS = 1 << 24;
/** Milliseconds that it may take to begin. */
const START = 30_000;
/** One without work ends after this time, in milliseconds. */
const IDLE = 30_000;

const PROGRAM = fileURLToPath(new URL('conflicts/sources/child/main.js', compiled));

export interface ModuleOptions {
  /** Of the module, absolute. */
  readonly file: string;
  /** Milliseconds that the function may take for one document; may change at any time. */
  readonly limits: { readonly timeout: number };
  /** Takes what the function logs. */
  readonly onLog: (line: string) => void;
}

/**
 * Runs the merge function of a module in a process of its own. A thread would not do: V8 ends the whole process where a thread
 * of it asks for a piece of memory that is larger than what is left of its limit, as a Map that grows does.
 */
export class ModuleProcess implements Cage {
  readonly #queue = new Queue();
  #child: ChildProcess | undefined;
  #idle: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(private readonly options: ModuleOptions) {}

  ask(conflict: string): Promise<string> {
    return this.#queue.add(async () => {
      clearTimeout(this.#idle);
      try {
        const child = this.#child ?? (await this.#start());
        return (await this.#exchange(child, conflict, this.options.limits.timeout)).answer ?? 'null';
      } finally {
        this.#idle = setTimeout(() => this.#end(), IDLE).unref();
      }
    });
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#idle);
    this.#end();
  }

  async #start(): Promise<ChildProcess> {
    if (this.#isClosed) throw new CageUnavailable('the function is not used any more');
    const child = fork(PROGRAM, {
      // What the server was started with is none of a function's business.
      env: {},
      execArgv: [`--max-old-space-size=${String(HEAP)}`, `--max-semi-space-size=${String(YOUNG)}`],
      // Texts are copied, and not written as JSON within JSON.
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    this.#child = child;
    child.on('exit', () => this.#forget(child));
    // It may be gone when it is told something, which its exit says as well.
    child.on('error', () => this.#forget(child));
    // It is closed by whoever opened it, and keeps no process from ending.
    child.unref();
    child.channel?.unref();
    yieldProcessor(child);
    const begin: Begin = { url: pathToFileURL(this.options.file).href, mostCharacters: MOST_CHARACTERS };
    await this.#exchange(child, begin, START);
    return child;
  }

  /** Tells it something and waits for what it says. @throws ForeignError, CageUnavailable */
  async #exchange(child: ChildProcess, told: Begin | Ask, timeout: number): Promise<Said> {
    const over = new AbortController();
    const { signal } = over;
    const timer = setTimeout(() => over.abort(), timeout);
    // A promise alone does not keep the process; what is under way does.
    child.channel?.ref();
    try {
      const said = once(child, 'message', { signal });
      const gone = once(child, 'exit', { signal });
      gone.catch(() => undefined);
      child.send(told, () => undefined);
      const [what] = (await Promise.race([said, gone.then(() => [])])) as [Said?];
      if (what === undefined) throw this.#gone();
      for (const line of what.log) this.options.onLog(line);
      if (what.failure === undefined) return what;
      if (typeof told !== 'string') this.#end();
      throw new ForeignError(what.failure);
    } catch (error) {
      if (error instanceof ForeignError || error instanceof CageUnavailable) throw error;
      this.#end();
      if (!signal.aborted) throw new CageUnavailable('its process cannot be started', { cause: error });
      throw new ForeignError(`it took more than ${String(timeout)} ms`, true, { cause: error });
    } finally {
      clearTimeout(timer);
      over.abort();
      child.channel?.unref();
    }
  }

  #gone(): Error {
    if (this.#isClosed) return new CageUnavailable('the function is not used any more');
    return new ForeignError('it used up its memory, or ended its process', true);
  }

  #end(): void {
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
  }

  #forget(child: ChildProcess): void {
    if (this.#child === child) this.#child = undefined;
  }
}

/** Gives everything else the processor first. */
function yieldProcessor({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    setPriority(pid, constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // It is a favour to the others, and they can do without.
  }
}
