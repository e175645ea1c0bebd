import type { ReplicationProgress } from '../../replication/progress.js';

/** How far a run is. */
export interface Reading {
  /** Revisions that were written, and their bytes. */
  readonly documents: number;
  readonly bytes: number;
  /** From 0 to 1; undefined where nobody knows. */
  readonly share: number | undefined;
  /** Revisions and bytes a second, at the moment. */
  readonly documentRate: number;
  readonly byteRate: number;
  readonly secondsLeft: number | undefined;
}

/** What was counted at a moment. */
interface Sample {
  /** Milliseconds. */
  readonly time: number;
  readonly done: number;
  readonly bytes: number;
}

/** Rates are those of the last so many milliseconds. */
const WINDOW = 10_000;

/** Makes of the counters of a replication what a person wants to know. Those of earlier runs do not count. */
export class Meter {
  readonly #samples: Sample[] = [];

  /** @param before how it was when the run began */
  constructor(
    private readonly before: ReplicationProgress,
    private readonly begun = performance.now(),
  ) {
    this.#samples.push({ time: begun, done: 0, bytes: 0 });
  }

  /** Seconds since the run began. */
  get seconds(): number {
    return (performance.now() - this.begun) / 1000;
  }

  read(now: ReplicationProgress, time = performance.now()): Reading {
    const checked = now.missingChecked - this.before.missingChecked;
    const written = now.docsWritten - this.before.docsWritten;
    const refused = now.docWriteFailures - this.before.docWriteFailures;
    const underWay = now.missingFound - this.before.missingFound - written - refused;
    const done = checked - underWay;
    const bytes = now.bytesWritten;
    const [first] = this.#samples;
    const since = Math.max(1, time - (first?.time ?? time)) / 1000;
    const documentRate = (done - (first?.done ?? 0)) / since;
    const byteRate = (bytes - (first?.bytes ?? 0)) / since;
    this.#note({ time, done, bytes });
    const left = now.changesPending === null ? undefined : now.changesPending + underWay;
    return {
      documents: written,
      bytes,
      share: left === undefined || done + left === 0 ? undefined : done / (done + left),
      documentRate,
      byteRate,
      secondsLeft: left === undefined || documentRate <= 0 ? undefined : left / documentRate,
    };
  }

  #note(sample: Sample): void {
    this.#samples.push(sample);
    while (this.#samples.length > 2 && sample.time - (this.#samples[1]?.time ?? 0) > WINDOW)
      this.#samples.shift();
  }
}
