import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** A module in a child process that answers commands (commands.mjs). */
export class ModuleProcess {
  readonly #child;
  readonly #waiting = new Map<number, { resolve: (result: never) => void; reject: (error: Error) => void }>();
  #number = 0;

  /** @param silent for one that is to crash */
  constructor(file: URL, silent = false) {
    this.#child = fork(fileURLToPath(file), { serialization: 'advanced', silent });
    this.#child.on('message', (answer: { number: number; result?: unknown; failure?: string }) => {
      const waiting = this.#waiting.get(answer.number);
      this.#waiting.delete(answer.number);
      if (answer.failure === undefined) waiting?.resolve(answer.result as never);
      else waiting?.reject(new Error(`PouchDB: ${answer.failure}`));
    });
    this.#child.on('exit', (code) => {
      for (const { reject } of this.#waiting.values())
        reject(new Error(`PouchDB's process ended: ${String(code)}`));
    });
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const exit = once(this.#child, 'exit');
    this.#child.disconnect();
    await exit;
  }

  protected ask<T>(command: string, args: object): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const number = this.#number++;
      this.#waiting.set(number, { resolve, reject });
      this.#child.send({ number, command, args });
    });
  }
}
