import { readFileSync } from 'node:fs';
import { setPriority, constants } from 'node:os';
import { Worker } from 'node:worker_threads';
import { compiled } from '../compiled.js';
import {
  signs,
  type Call,
  type Given,
  type Limits,
  type Order,
  type Report,
  type Said,
  type ThreadData,
} from './protocol.js';

/** Megabytes. What the engine calls within itself takes room on the processor's stack, too. */
const STACK_MB = 16;
/** Documents on their way in and out; the engine's memory is not part of it. */
const HEAP_MB = 256;

export interface ThreadListener {
  onReport(thread: Thread, report: Report): void;
  /** A list function said something, and waits for what it is given. */
  onSaid(thread: Thread, said: Said): void;
  /** It ended, be it by itself or by `end`. */
  onEnd(thread: Thread, error: Error | undefined): void;
}

/** A thread that runs functions, one order after the other. */
export class Thread {
  /** Machines that it has. */
  readonly #machines = new Set<number>();
  /** Those of them that it is to drop with its next order: then it is sure that no answer crosses that. */
  readonly #unwanted = new Set<number>();
  readonly #worker: Worker;
  readonly #signs = new Int32Array(new SharedArrayBuffer(signs.length * Int32Array.BYTES_PER_ELEMENT));

  constructor(module: WebAssembly.Module, limits: Limits, listener: ThreadListener) {
    const workerData: ThreadData = { module, limits, signs: this.#signs };
    this.#worker = new Worker(new URL('design/worker/main.js', compiled), {
      name: 'functions',
      workerData,
      // What the process was started with is none of a function's business.
      env: {},
      argv: [],
      execArgv: [],
      resourceLimits: { stackSizeMb: STACK_MB, maxOldGenerationSizeMb: HEAP_MB },
    });
    let failure: Error | undefined;
    this.#worker.on('message', (report: Report | Said) => {
      if ('output' in report) {
        listener.onSaid(this, report);
        return;
      }
      this.#machines.clear();
      for (const machine of report.machines) this.#machines.add(machine);
      listener.onReport(this, report);
    });
    this.#worker.on('error', (error: Error) => (failure = error));
    this.#worker.on('exit', () => listener.onEnd(this, failure));
    // It lives as long as its pool wants it, and keeps no process from ending: not before somebody listens to it.
    this.#worker.unref();
  }

  has(machine: number): boolean {
    return this.#machines.has(machine);
  }

  /** @param design the text of the design document, in case that it does not have the machine */
  run(machine: number, design: string, call: Call): void {
    Atomics.store(this.#signs, signs.item, -1);
    Atomics.store(this.#signs, signs.stop, 0);
    const drop = [...this.#unwanted];
    this.#unwanted.clear();
    for (const unwanted of drop) this.#machines.delete(unwanted);
    const order: Order = { machine, design: this.has(machine) ? undefined : design, call, drop };
    this.#worker.postMessage(order);
  }

  /** Lets a list function go on. */
  give(rows: Given): void {
    this.#worker.postMessage(rows);
    Atomics.add(this.#signs, signs.given, 1);
    Atomics.notify(this.#signs, signs.given);
  }

  /** Does not keep a machine any longer. */
  drop(machine: number): void {
    this.#unwanted.add(machine);
  }

  /** Which item of its order it works at; negative before the first. */
  get item(): number {
    return Atomics.load(this.#signs, signs.item);
  }

  /** Has it leave its work; what it is in the middle of is not done. A thread may not notice. */
  stop(): void {
    Atomics.store(this.#signs, signs.stop, 1);
  }

  /** Milliseconds for which it had a processor since it began; undefined where the system does not say. */
  get processorTime(): number | undefined {
    try {
      const [nanoseconds = ''] = readFileSync(`/proc/self/task/${this.#tid}/schedstat`, 'utf8').split(' ');
      return Number(nanoseconds) / 1e6;
    } catch {
      return undefined;
    }
  }

  get #tid(): number {
    return Atomics.load(this.#signs, signs.tid);
  }

  /** Gives everything else the processor first, for good. */
  yieldProcessor(): void {
    if (this.#tid === 0) return;
    try {
      setPriority(this.#tid, constants.priority.PRIORITY_LOW);
    } catch {
      // It is a favour to the others, and they can do without.
    }
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
  }
}
