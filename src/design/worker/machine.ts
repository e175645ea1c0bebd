import { randomFillSync } from 'node:crypto';
import type { JSValueHandle, QuickJS } from 'quickjs-wasi';
import { failed, TIMED_OUT, TIMEOUTS, type Call, type Limits, type Outcome } from '../protocol.js';
import type { Dialogue } from './dialogue.js';
import { copyOf, type Template } from './engine.js';

/** Asked by the engine every so often; what it says is over cannot go on by catching that. */
class Clock {
  #deadline = Infinity;
  /** That of a list function with all its rows. */
  #last = Infinity;

  /**
   * @param timeout milliseconds for a call, or for a row
   * @param isStopped whether somebody has it stop
   */
  constructor(
    private readonly timeout: number,
    private readonly isStopped: () => boolean,
  ) {}

  start(): void {
    const now = performance.now();
    this.#deadline = now + this.timeout;
    this.#last = now + this.timeout * TIMEOUTS;
  }

  /** What others take their time for does not count. */
  wait<T>(run: () => T): T {
    const begin = performance.now();
    const result = run();
    const time = performance.now() - begin;
    this.#deadline += time;
    this.#last += time;
    return result;
  }

  /** There is a new row to work at. */
  renew(): void {
    this.#deadline = Math.min(performance.now() + this.timeout, this.#last);
  }

  get isOver(): boolean {
    return performance.now() >= this.#deadline;
  }

  readonly isToStop = (): boolean => this.isOver || this.isStopped();
}

export interface MachineSurroundings {
  readonly template: Template;
  readonly limits: Limits;
  /** Whether it is to leave what it does. */
  readonly isStopped: () => boolean;
  /** What list functions get their rows from. */
  readonly dialogue: Dialogue;
  /** Takes what functions log. */
  readonly log: (line: string) => void;
}

/** Handles that several calls share, to be disposed of. */
export type Shared = readonly JSValueHandle[];

/** The functions of one design document in an engine of their own, whose memory no other shares. */
export class Machine {
  /** Whether it may be used again. */
  isUsable = true;

  private constructor(
    /** The text of the design document. */
    readonly design: string,
    private readonly engine: QuickJS,
    private readonly entry: JSValueHandle,
    private readonly memory: WebAssembly.Memory,
    private readonly clock: Clock,
    private readonly surroundings: MachineSurroundings,
  ) {}

  /** @param isPure whether nothing is to tell the time, and nothing is to be random */
  static async start(design: string, surroundings: MachineSurroundings, isPure: boolean): Promise<Machine> {
    const { template, limits, dialogue, log } = surroundings;
    const clock = new Clock(limits.timeout, surroundings.isStopped);
    let memory: WebAssembly.Memory = { buffer: new ArrayBuffer(0) };
    const engine = await copyOf(template, {
      wasi: (ofEngine) => {
        memory = ofEngine;
        return {};
      },
      memoryLimit: template.snapshot.memory.byteLength + limits.memory,
      interruptHandler: clock.isToStop,
    });
    const write = engine.newFunction('log', (line) => {
      log(line.toString());
      return engine.undefined;
    });
    // The engine takes a copy of what it is given.
    let given: JSValueHandle | undefined;
    const tell = engine.newFunction('tell', (start, output, wantsRow) => {
      const [begin, text, wants] = [start.toString(), output.toString(), wantsRow.toBoolean()];
      const row = clock.wait(() => dialogue.tell(begin, text, wants));
      if (row === undefined) return engine.null;
      clock.renew();
      given?.dispose();
      given = engine.newString(row);
      return given;
    });
    const numbers = isPure ? [] : randomFillSync(new Int32Array(4));
    const random = Array.from(numbers, (number) => engine.newNumber(number));
    const load = engine.importHandle(template.load);
    engine.callFunction(load, engine.undefined, engine.newString(design), write, tell, ...random);
    return new Machine(design, engine, engine.importHandle(template.call), memory, clock, surroundings);
  }

  /** What calls of a function have in common. */
  share({ kind, name, shared }: Call): Shared {
    return [kind, name, ...shared].map((text) => this.engine.newString(text));
  }

  /** @returns undefined where it was stopped */
  call(item: readonly string[], [kind, name, ...shared]: Shared): Outcome | undefined {
    const { engine, clock, surroundings } = this;
    if (kind === undefined || name === undefined) throw new TypeError('a call has a kind and a name');
    clock.start();
    try {
      const own = item.map((text) => engine.newString(text));
      const result = engine.callFunction(this.entry, engine.undefined, kind, name, ...own, ...shared);
      for (const handle of own) handle.dispose();
      const outcome = this.#read(result);
      result.dispose();
      return outcome;
    } catch (error) {
      // The engine gave up, in whatever state it was.
      this.isUsable = false;
      if (clock.isOver) return TIMED_OUT;
      return surroundings.isStopped() ? undefined : failed(errorMessage(error));
    }
  }

  #read(result: JSValueHandle): Outcome {
    if (result.isNull) return null;
    const text = result.toString();
    return text.length <= this.surroundings.limits.maxOutput ? text : failed('the answer is too long');
  }

  /** Bytes of memory that it takes, which never get fewer. */
  get size(): number {
    return this.memory.buffer.byteLength;
  }
}

/** What is said of an error of the engine, which has no room to say anything itself where its memory is used up. */
export const errorMessage = (error: unknown): string =>
  error instanceof Error && error.message !== '' ? error.message : 'out of memory';
