import { Worker } from 'node:worker_threads';
import type { Limits, Order, Report, ThreadData } from './protocol.js';

/** Megabytes. The engine's calls within each other are the processor's, too. */
const STACK_MB = 16;
const HEAP_MB = 64;

export interface ThreadListener {
  onReport(thread: Thread, report: Report): void;
  /** It ended, be it by itself or by `end`. */
  onEnd(thread: Thread): void;
}

/** A thread that runs functions, one order after the other. */
export class Thread {
  /** Machines that it had when it was heard of last. */
  machines: ReadonlySet<number> = new Set();
  readonly #worker: Worker;
  readonly #progress = new Int32Array(new SharedArrayBuffer(4));

  constructor(module: WebAssembly.Module, limits: Limits, listener: ThreadListener) {
    const workerData: ThreadData = { module, limits, progress: this.#progress };
    this.#worker = new Worker(new URL('./worker/main.js', import.meta.url), {
      name: 'functions',
      workerData,
      // What the process was started with is none of a function's business.
      env: {},
      argv: [],
      execArgv: [],
      resourceLimits: { stackSizeMb: STACK_MB, maxOldGenerationSizeMb: HEAP_MB },
    });
    // It lives as long as its pool wants it, and keeps no process from ending.
    this.#worker.unref();
    this.#worker.on('message', (report: Report) => {
      this.machines = new Set(report.machines);
      listener.onReport(this, report);
    });
    // Whatever it was, it ends the thread.
    this.#worker.on('error', () => undefined);
    this.#worker.on('exit', () => listener.onEnd(this));
  }

  run(order: Order): void {
    Atomics.store(this.#progress, 0, 0);
    this.#worker.postMessage(order);
  }

  /** Which item of its order it works at. */
  get item(): number {
    return Atomics.load(this.#progress, 0);
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}
