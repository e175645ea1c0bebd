import { once } from 'node:events';
import { WebSocket } from 'undici';
import type { Program } from '../../support/server.js';

/** For the environment of a program whose heap is to be looked at. */
export const INSPECTABLE = { NODE_OPTIONS: '--inspect=127.0.0.1:0' };

/** Collects a program's garbage and asks what is left: what a leak adds to, however lazy the collector is otherwise. */
export class Heap {
  #calls = 0;

  private constructor(private readonly inspector: WebSocket) {}

  /** The program must run with `INSPECTABLE`. */
  static async of(program: Program): Promise<Heap> {
    const [, url = ''] = await program.printed('stderr', /Debugger listening on (ws:\S+)/);
    const inspector = new WebSocket(url);
    await once(inspector, 'open');
    return new Heap(inspector);
  }

  /** Bytes of all that can still be reached: objects, and the buffers that they own. */
  async reachable(): Promise<number> {
    // Objects with a finaliser let go of what they hold only when that has run.
    for (let pass = 0; pass < 3; pass += 1) await this.#call('HeapProfiler.collectGarbage', {});
    const { result } = (await this.#call('Runtime.evaluate', {
      expression: '(({ heapUsed, external }) => heapUsed + external)(process.memoryUsage())',
      returnByValue: true,
    })) as { result: { value: number } };
    return result.value;
  }

  close(): void {
    this.inspector.close();
  }

  async #call(method: string, params: object): Promise<unknown> {
    const id = (this.#calls += 1);
    this.inspector.send(JSON.stringify({ id, method, params }));
    for (;;) {
      const [{ data }] = (await once(this.inspector, 'message')) as [{ data: string }];
      const answer = JSON.parse(data) as { id?: number; result?: unknown };
      if (answer.id === id) return answer.result;
    }
  }
}
