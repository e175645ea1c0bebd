/** Milliseconds between two changes of the line. */
const BEAT = 200;
/** Columns. */
const USUAL_WIDTH = 80;

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
    // A terminal that was told no size has 0 columns.
    const width = this.stream.columns > 0 ? this.stream.columns : USUAL_WIDTH;
    this.stream.write(`\r\x1b[K${text.slice(0, width - 1)}`);
  }

  /** Before anything else is printed. */
  clear(): void {
    if (this.#isShown) this.stream.write('\r\x1b[K');
    this.#isShown = false;
  }
}
