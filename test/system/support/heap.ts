import type { Program } from '../../support/server.js';
import { Inspector } from './inspector.js';

/** Collects a program's garbage and asks what is left: what a leak adds to, however lazy the collector is otherwise. */
export class Heap {
  private constructor(private readonly inspector: Inspector) {}

  /** The program must run with `INSPECTABLE`. */
  static async of(program: Program): Promise<Heap> {
    return new Heap(await Inspector.of(program));
  }

  /** Bytes of all that can still be reached: objects, and the buffers that they own. */
  async reachable(): Promise<number> {
    // Objects with a finaliser let go of what they hold only when that has run.
    for (let pass = 0; pass < 3; pass += 1) await this.inspector.call('HeapProfiler.collectGarbage', {});
    const expression = '(({ heapUsed, external }) => heapUsed + external)(process.memoryUsage())';
    return Number(await this.inspector.evaluate(expression));
  }

  close(): void {
    this.inspector.close();
  }
}
