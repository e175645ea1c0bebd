import { readFileSync } from 'node:fs';
import { EvalFlags, Intrinsics, QuickJS, type JSValueHandle } from 'quickjs-wasi';
import type { Call, Limits, Outcome } from '../protocol.js';

const GUEST = new URL('../guest/', import.meta.url);

/** What CouchDB's engine has of the language, and promises, which this engine cannot do without. */
const LANGUAGE =
  Intrinsics.DATE |
  Intrinsics.EVAL |
  Intrinsics.REGEXP |
  Intrinsics.JSON |
  Intrinsics.MAP_SET |
  Intrinsics.PROMISE;

/** The most that the engine's stack in WebAssembly has room for: some 1,900 calls within each other. */
const STACK = 512 * 1024;

/** The engine's own share of the memory. */
const BASE = 1024 * 1024;

/** Where an answer cannot come from the function. */
const error = (name: string, reason: string): string => `E${JSON.stringify([name, reason])}`;

/** Asked by the engine every so often; what it says is over cannot go on by catching that. */
class Clock {
  #deadline = Infinity;

  start(milliseconds: number): void {
    this.#deadline = performance.now() + milliseconds;
  }

  stop(): void {
    this.#deadline = Infinity;
  }

  isOver(): boolean {
    return performance.now() >= this.#deadline;
  }
}

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
    private readonly limits: Limits,
  ) {}

  /** @param log takes what functions log */
  static async start(
    module: WebAssembly.Module,
    design: string,
    limits: Limits,
    log: (line: string) => void,
  ): Promise<Machine> {
    const clock = new Clock();
    let memory: WebAssembly.Memory = { buffer: new ArrayBuffer(0) };
    let isStarting = true;
    const vm = await QuickJS.create({
      wasm: module,
      wasi: (ofEngine) => {
        memory = ofEngine;
        return {};
      },
      intrinsics: LANGUAGE,
      memoryLimit: limits.memory + BASE,
      maxStackSize: STACK,
      timezoneOffset: 0,
      interruptHandler: () => clock.isOver(),
      moduleLoader: {
        normalize: (_from, name) => {
          if (!isStarting) throw new Error('there are no modules');
          return name.replace('./', '');
        },
        load: (name) => readFileSync(new URL(name, GUEST), 'utf8'),
      },
    });
    const loading = vm.evalCode('export * from "./main.js"', 'guest', EvalFlags.TYPE_MODULE);
    vm.executePendingJobs();
    isStarting = false;
    const loaded = await vm.resolvePromise(loading);
    if (!('value' in loaded)) throw new Error('the code around functions does not run');
    const guest = loaded.value;
    const write = vm.newFunction('log', (line) => {
      log(line.toString());
      return vm.undefined;
    });
    vm.callFunction(guest.getProp('load'), vm.undefined, vm.newString(design), write).dispose();
    return new Machine(design, vm, guest.getProp('call'), memory, clock, limits);
  }

  /** Parameters that several calls share. */
  share(texts: readonly string[]): readonly JSValueHandle[] {
    return texts.map((text) => this.engine.newString(text));
  }

  call({ kind, name }: Call, item: readonly string[], shared: readonly JSValueHandle[]): Outcome {
    this.clock.start(this.limits.timeout);
    try {
      return this.engine.withScope(() => {
        const vm = this.engine;
        const parameters = [
          vm.newString(kind),
          vm.newString(name),
          ...item.map((text) => vm.newString(text)),
          ...shared,
        ];
        return this.#read(vm.callFunction(this.entry, vm.undefined, ...parameters));
      });
    } catch (cause) {
      // The engine gave up, in whatever state it was.
      this.isUsable = false;
      if (this.clock.isOver()) return error('os_process_error', 'OS process timed out.');
      return error('os_process_error', cause instanceof Error ? cause.message : 'exit_status 1');
    } finally {
      this.clock.stop();
    }
  }

  #read(result: JSValueHandle): Outcome {
    if (result.isNull) return null;
    if (result.isBool) return result.toBoolean();
    const text = result.toString();
    if (text.length <= this.limits.maxOutput) return text;
    return error('os_process_error', 'the answer of the function is too long');
  }

  /** Bytes of memory that it takes, which never get fewer. */
  get size(): number {
    return this.memory.buffer.byteLength;
  }
}
