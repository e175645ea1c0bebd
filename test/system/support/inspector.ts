import { once } from 'node:events';
import { WebSocket } from 'undici';
import type { Program } from '../../support/server.js';

/** For the environment of a program that is to be looked into. */
export const INSPECTABLE = { NODE_OPTIONS: '--inspect=127.0.0.1:0' };

/** Node's inspector of a program that runs; one call at a time. */
export class Inspector {
  #calls = 0;

  private constructor(private readonly socket: WebSocket) {}

  /** The program must run with `INSPECTABLE`. */
  static async of(program: Program): Promise<Inspector> {
    const [, url = ''] = await program.printed('stderr', /Debugger listening on (ws:\S+)/);
    const socket = new WebSocket(url);
    await once(socket, 'open');
    return new Inspector(socket);
  }

  /** What an expression gives in the program: something that JSON can hold. */
  async evaluate(expression: string): Promise<unknown> {
    const { result, exceptionDetails } = (await this.call('Runtime.evaluate', {
      expression,
      returnByValue: true,
    })) as { result: { value?: unknown }; exceptionDetails?: unknown };
    if (exceptionDetails !== undefined) throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`);
    return result.value;
  }

  async call(method: string, params: object): Promise<unknown> {
    const id = (this.#calls += 1);
    this.socket.send(JSON.stringify({ id, method, params }));
    for (;;) {
      const [{ data }] = (await once(this.socket, 'message')) as [{ data: string }];
      const answer = JSON.parse(data) as { id?: number; result?: unknown };
      if (answer.id === id) return answer.result;
    }
  }

  close(): void {
    this.socket.close();
  }
}
