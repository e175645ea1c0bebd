import type { ReplicationOptions } from '../../replication/options.js';
import type { Sequence, Source, Target } from '../../replication/peer.js';
import type { ReplicationProgress } from '../../replication/progress.js';
import type { ReplicationListener, ReplicationSpec } from '../../replication/replication.js';
import { startReplication } from '../../replication/run.js';
import type { WriteOrder } from '../../replication/write-order.js';

/** How one direction of a mirror runs. */
export interface FlowStatus {
  readonly running: boolean;
  /** Revisions and bytes that it brought since the server started. */
  readonly documents: number;
  readonly bytes: number;
  /** Documents a second, of late; 0 where nothing runs. */
  readonly rate: number;
  /** Revisions that fail for no lasting reason, and are tried again. */
  readonly held: number;
}

/** What flows from where to where. */
export interface Stretch {
  readonly source: Source;
  readonly target: Target;
  /** Whether it goes on when everything has flowed. */
  readonly isEndless: boolean;
  readonly options: Pick<ReplicationOptions, 'docIds' | 'selector'>;
  readonly order?: WriteOrder;
  readonly listener?: ReplicationListener | undefined;
  readonly mayPass?: ReplicationSpec['mayPass'] | undefined;
  readonly signal: AbortSignal;
}

/** Many mirrors run at once, and each has two of them: one has fewer requests under way than a replication alone. */
const WORKERS = 4;
/** Milliseconds between checkpoints, at most, while there is something to catch up with: a bad line may end it soon. */
const CATCHING_UP = 1000;
/** Milliseconds that the rate is taken over. */
const WINDOW = 5000;

/** One direction of a mirror, which runs now and then. */
export class Flow {
  #documents = 0;
  #bytes = 0;
  #progress: (() => ReplicationProgress) | undefined;
  /** Rows that are still to come; undefined where nobody knows. */
  #pending: number | undefined;
  #sample = { at: 0, documents: 0 };
  #rate = 0;

  /**
   * @param idOf what names its checkpoints now
   * @param checkpointInterval in milliseconds
   */
  constructor(
    private readonly idOf: () => string,
    private readonly checkpointInterval: number,
  ) {}

  /** Names its checkpoints. */
  get id(): string {
    return this.idOf();
  }

  get pending(): number | undefined {
    // One that waits for changes has not heard of any yet.
    return this.#progress?.().changesPending ?? this.#pending;
  }

  get status(): FlowStatus {
    const isRunning = this.#progress !== undefined;
    const now = performance.now();
    return {
      running: isRunning,
      documents: this.#documents,
      bytes: this.#bytes,
      rate: isRunning && now - this.#sample.at < 2 * WINDOW ? this.#rate : 0,
      held: this.#progress?.().held ?? 0,
    };
  }

  /**
   * Lets it flow to the end of what there is, or until the signal fires.
   * @param onProgress is called often, with what flowed before and what has flowed
   * @param onCheckpoint everything up to a sequence of the source is on both sides
   * @throws CouchError, PeerUnreachable; whatever it is, where the signal fired
   */
  async run(
    { source, target, isEndless, options, order, listener, mayPass, signal }: Stretch,
    onProgress: (hasMoved: boolean) => void,
    onCheckpoint: (seq: Sequence) => void,
  ): Promise<void> {
    signal.throwIfAborted();
    const checkpointInterval = Math.min(this.checkpointInterval, isEndless ? Infinity : CATCHING_UP);
    let before = { docsWritten: 0, bytesWritten: 0 };
    let committed: Sequence | undefined;
    const note = (): void => {
      const { progress } = replication;
      const documents = progress.docsWritten - before.docsWritten;
      this.#count(documents, progress.bytesWritten - before.bytesWritten);
      before = progress;
      if (progress.checkpointedSourceSeq !== committed) {
        committed = progress.checkpointedSourceSeq;
        if (committed !== 0) onCheckpoint(committed);
      }
      onProgress(documents > 0);
    };
    const replication = startReplication({
      id: this.id,
      source,
      target,
      options: { ...options, continuous: isEndless },
      ...(order !== undefined && { order }),
      tuning: { workers: WORKERS, checkpointInterval },
      ...(mayPass !== undefined && { mayPass }),
      listener: {
        ...listener,
        // Those of earlier runs are in the counters.
        onBegin: () => (before = replication.progress),
        onProgress: note,
      },
    });
    this.#progress = () => replication.progress;
    const stop = (): void => void replication.cancel();
    signal.addEventListener('abort', stop, { once: true });
    try {
      await replication.done;
      this.#pending = 0;
    } catch (error) {
      this.#pending = replication.progress.changesPending ?? undefined;
      throw error;
    } finally {
      signal.removeEventListener('abort', stop);
      this.#progress = undefined;
    }
  }

  #count(documents: number, bytes: number): void {
    this.#documents += documents;
    this.#bytes += bytes;
    const now = performance.now();
    const passed = now - this.#sample.at;
    if (passed < WINDOW) return;
    this.#rate = ((this.#documents - this.#sample.documents) * 1000) / passed;
    this.#sample = { at: now, documents: this.#documents };
  }
}
