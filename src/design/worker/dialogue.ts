import { parentPort, receiveMessageOnPort } from 'node:worker_threads';
import { signs, type Given, type Said } from '../protocol.js';

/** Characters of output that are sent on together. */
const CHUNK = 65_536;

/**
 * What a list function says, and the rows that it is given. The function does not return meanwhile, so the thread waits
 * until the other side has taken what it said: nothing piles up where the client is slow.
 */
export class Dialogue {
  #rows: Given = [];
  /** The next of them. */
  #at = 0;
  #isOver = false;
  #output = '';

  constructor(private readonly signs: Int32Array) {}

  /**
   * @param start JSON of the response object, where the answer begins; else empty
   * @returns the next row, where one is wanted and there is any
   */
  tell(start: string, output: string, wantsRow: boolean): string | undefined {
    if (start !== '') this.#begin();
    this.#output += output;
    const wantsRows = wantsRow && !this.#isOver && this.#at >= this.#rows.length;
    if (start !== '' || wantsRows || this.#output.length >= CHUNK) this.#exchange(start, wantsRows);
    if (!wantsRow) return undefined;
    Atomics.add(this.signs, signs.item, 1);
    return this.#rows[this.#at++];
  }

  /** Says what is left, be it in front of an error. */
  end(): void {
    if (this.#output !== '') this.#exchange('', false);
    this.#begin();
  }

  #begin(): void {
    this.#rows = [];
    this.#at = 0;
    this.#isOver = false;
  }

  #exchange(start: string, wantsRows: boolean): void {
    const said: Said = { start, output: this.#output, wantsRows };
    this.#output = '';
    const rows = this.#ask(said);
    if (!wantsRows) return;
    this.#rows = rows;
    this.#at = 0;
    this.#isOver = rows.length === 0;
  }

  #ask(said: Said): Given {
    if (parentPort === null) throw new TypeError('a list function runs in a thread');
    const given = Atomics.load(this.signs, signs.given);
    parentPort.postMessage(said);
    // The other side counts and then wakes. Where it comes late to the second, this waits for the next answer by then, and
    // is woken without it.
    while (Atomics.load(this.signs, signs.given) === given) Atomics.wait(this.signs, signs.given, given);
    const received = receiveMessageOnPort(parentPort) as { message: Given } | undefined;
    if (received === undefined) throw new Error('nothing was given to a list function');
    return received.message;
  }
}
