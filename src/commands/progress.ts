/** Milliseconds between two changes of the line. */
const BEAT = 200;

/** One line on a terminal that says how far a command is; nothing elsewhere. */
export class ProgressLine {
  #shownAt = 0;
  #isShown = false;

  constructor(private readonly stream: NodeJS.WriteStream = process.stderr) {}

  show(text: string): void {
    const now = performance.now();
    if (!this.stream.isTTY || now - this.#shownAt < BEAT) return;
    this.#shownAt = now;
    this.#isShown = true;
    this.stream.write(`\r\x1b[K${text.slice(0, this.stream.columns - 1)}`);
  }

  /** Before anything else is printed. */
  clear(): void {
    if (this.#isShown) this.stream.write('\r\x1b[K');
    this.#isShown = false;
  }
}
