import { Worker } from 'node:worker_threads';
import { compiled } from '../../../compiled.js';
import { inTurns } from '../../../json/turns.js';
import { serialiseTree } from '../../../revtree/serialise.js';
import {
  charactersOf,
  type Considered,
  considering,
  type DocumentGiven,
  MOST_SENT,
  type Unread,
} from '../../considering.js';
import type { BuiltIn } from '../../functions/builtin.js';
import { CageUnavailable } from '../cage.js';
import type { Answer, Order, Task } from './protocol.js';

/** So many documents are sent together at most: the first answers are written while others are found. */
const MOST_TASKS = 25;
/** Without work it ends after this time, in milliseconds. */
const IDLE = 30_000;

interface Waiting {
  readonly resolve: (considered: Considered | Unread) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Finds out what becomes of documents by the functions that are built in, in a thread of its own: so what that takes keeps no
 * request waiting, and what it leaves behind is collected there, where nothing else is. The thread is started when something
 * is asked. Must be closed.
 */
export class BuiltInThread {
  #worker: Worker | undefined;
  #last = 0;
  readonly #waiting = new Map<number, Waiting>();
  #functions: BuiltIn[] = [];
  #tasks: Task[] = [];
  /** What these hold. */
  #characters = 0;
  #idle: NodeJS.Timeout | undefined;
  #isClosed = false;

  /**
   * What becomes of a document. Others are asked about side by side.
   * @param timeout milliseconds that the function may take
   * @throws CageUnavailable where the thread ended, or is closed; Error for a body that cannot be read
   */
  async consider(merge: BuiltIn, document: DocumentGiven, timeout: number): Promise<Considered | Unread> {
    if (this.#isClosed) throw new CageUnavailable('the server is stopping');
    const { id, bodies, mayMerge } = document;
    const characters = charactersOf(bodies);
    if (characters > MOST_SENT) return await inTurns(considering(document, merge, timeout));
    const tree = serialiseTree(document.tree);
    return await new Promise((resolve, reject) => {
      clearTimeout(this.#idle);
      const number = ++this.#last;
      this.#waiting.set(number, { resolve, reject });
      const task = { number, by: this.#placeOf(merge), timeout, document: { id, tree, bodies, mayMerge } };
      const waiting = this.#tasks.push(task);
      this.#characters += characters + tree.length;
      if (waiting === MOST_TASKS || this.#characters > MOST_SENT) this.#send();
      else if (waiting === 1) setImmediate(() => this.#send());
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#end();
  }

  /** What it is asked just now fails, as something that cannot be asked at the moment. */
  async #end(cause?: unknown): Promise<void> {
    clearTimeout(this.#idle);
    const worker = this.#worker;
    const waiting = [...this.#waiting.values()];
    this.#worker = undefined;
    this.#waiting.clear();
    this.#take();
    for (const { reject } of waiting) reject(new CageUnavailable('the thread that merges ended', { cause }));
    await worker?.terminate();
  }

  #placeOf(merge: BuiltIn): number {
    const place = this.#functions.indexOf(merge);
    return place < 0 ? this.#functions.push(merge) - 1 : place;
  }

  #send(): void {
    const order = this.#take();
    if (order.tasks.length === 0) return;
    try {
      this.#worker ??= this.#start();
      this.#worker.postMessage(order);
    } catch (error) {
      // The system may allow no further thread.
      const answers = order.tasks.map(({ number }) => ({ number, unavailable: (error as Error).message }));
      this.#answered(answers);
    }
  }

  /** What is to be sent next, which nothing is any more. */
  #take(): Order {
    const functions = this.#functions.map(({ name, options, version }) => ({ name, options, version }));
    const order = { functions, tasks: this.#tasks };
    this.#functions = [];
    this.#tasks = [];
    this.#characters = 0;
    return order;
  }

  #start(): Worker {
    const worker = new Worker(new URL('conflicts/sources/builtin/main.js', compiled), {
      name: 'merges',
      env: {},
      argv: [],
      execArgv: [],
    });
    let failure: unknown;
    worker.on('message', (answers: readonly Answer[]) => {
      // What one says that was ended is not waited for.
      if (this.#worker === worker) this.#answered(answers);
    });
    worker.on('error', (error) => (failure = error));
    worker.on('exit', () => {
      // One that ended by itself.
      if (this.#worker === worker) void this.#end(failure);
    });
    // It is closed by whoever opened it, and keeps no process from ending: not before somebody listens to it.
    worker.unref();
    return worker;
  }

  #answered(answers: readonly Answer[]): void {
    for (const one of answers) {
      const waiting = this.#waiting.get(one.number);
      this.#waiting.delete(one.number);
      if ('unavailable' in one) waiting?.reject(new CageUnavailable(one.unavailable));
      else if ('failure' in one) waiting?.reject(new Error(one.failure));
      else waiting?.resolve(one.considered);
    }
    if (this.#waiting.size > 0) return;
    this.#idle = setTimeout(() => void this.#end(), IDLE).unref();
  }
}
