import { count, duration, number, size } from '../amounts.js';
import { ProgressLine } from '../progress.js';
import type { Reading } from './meter.js';

/** Milliseconds between two changes of a line on a terminal, and between two lines elsewhere. */
const ON_TERMINAL = 250;
const ELSEWHERE = 5000;
/** Characters. */
const BAR = 20;

/** Shows how far a replication is: in one line on a terminal, elsewhere in a line every few seconds. */
export class Display {
  readonly #line: ProgressLine;
  readonly #timer: NodeJS.Timeout;

  /** @param read called whenever it is shown */
  constructor(
    private readonly read: () => Reading | undefined,
    private readonly stream: NodeJS.WriteStream = process.stderr,
  ) {
    this.#line = new ProgressLine(stream);
    this.#timer = setInterval(() => this.#show(), stream.isTTY ? ON_TERMINAL : ELSEWHERE);
  }

  /** Makes room for something else that is printed. */
  clear(): void {
    this.#line.clear();
  }

  /** Shows it for the last time. */
  end(): void {
    clearInterval(this.#timer);
    this.#line.clear();
    if (!this.stream.isTTY) this.#show();
  }

  #show(): void {
    const reading = this.read();
    if (reading === undefined) return;
    if (this.stream.isTTY) this.#line.show(`${bar(reading.share)}${describe(reading)}`);
    else this.stream.write(`${describe(reading)}\n`);
  }
}

function bar(share: number | undefined): string {
  if (share === undefined) return '';
  const full = Math.floor(share * BAR);
  return `[${'#'.repeat(full)}${'-'.repeat(BAR - full)}] `;
}

export function describe({ documents, bytes, share, documentRate, byteRate, secondsLeft }: Reading): string {
  return [
    // Nothing is over before it is over.
    ...(share === undefined ? [] : [`${String(Math.floor(share * 100))} %`]),
    count(documents, 'document'),
    size(bytes),
    `${number(Math.round(documentRate))} documents and ${size(byteRate)} a second`,
    ...(secondsLeft === undefined || share === 1 ? [] : [`${duration(secondsLeft)} left`]),
  ].join(', ');
}
