import { CouchError } from '../errors.js';
import { BatchSize } from './batch-size.js';
import { asCouchError, isCertain, isRefusal, meaningOf } from './failures.js';
import type { RevisionText, Side, WriteFailure } from './peer.js';
import type { Course } from './course.js';
import type { RunContext } from './run-context.js';

/** How often a request for one document may be refused before that counts: it may be for a moment. */
const DOUBTS = 2;

/** What to do with a revision whose attachments the target turned out not to have. */
type OnMissingStub = (document: RevisionText) => void;

/**
 * Writes revisions to the target in requests of a size that it bears. Everything that it is given is dealt with when it
 * returns: written, reported as refused, or held.
 */
export class Writing {
  readonly #size: BatchSize;

  constructor(private readonly context: RunContext) {
    const { batchSize: count, batchBytes: bytes } = context.tuning;
    this.#size = new BatchSize({ count, bytes });
  }

  get size(): Pick<BatchSize, 'count' | 'bytes'> {
    return this.#size;
  }

  /**
   * @param doubts how often the request for one document was refused just before
   * @throws where the target is away for longer than retries last, or wants nothing of this account
   */
  async write(
    documents: readonly RevisionText[],
    course: Course,
    onMissingStub: OnMissingStub,
    doubts = 0,
  ): Promise<void> {
    for (let at = 0, failures = 0; at < documents.length;) {
      const piece = this.#piece(documents, at);
      const failure = await this.#attempt(piece, course, onMissingStub, doubts);
      if (failure === undefined) {
        failures = 0;
        at += piece.length;
        continue;
      }
      this.#size.shrink(piece.length, lengthOf(piece));
      failures++;
      if (piece.length === 1 && this.context.retrying.isEnough(failures)) {
        await this.#putAside(piece, failure, course);
        failures = 0;
        at++;
      } else {
        await this.context.retrying.pause(failures, failure);
      }
    }
  }

  #piece(documents: readonly RevisionText[], from: number): readonly RevisionText[] {
    let to = from;
    for (let bytes = 0; to < documents.length && to - from < this.#size.count; to++) {
      bytes += documents[to]?.text.length ?? 0;
      if (bytes > this.#size.bytes && to > from) break;
    }
    return documents.slice(from, to);
  }

  /** @returns why the same may be tried again */
  async #attempt(
    piece: readonly RevisionText[],
    course: Course,
    onMissingStub: OnMissingStub,
    doubts: number,
  ): Promise<unknown> {
    const { target, signal } = this.context;
    let failed: readonly WriteFailure[];
    try {
      failed = await target.write(piece, signal);
    } catch (error) {
      const meaning = meaningOf(error);
      if (meaning === 'passing') return error;
      if (meaning === 'lasting') throw error;
      await this.#bisect(piece, asCouchError(error), course, onMissingStub, doubts);
      return undefined;
    }
    this.#size.grow();
    this.#count(piece, failed);
    await this.context.written(failed.length === 0 ? piece : piece.filter((one) => !isAmong(failed, one)));
    for (const failure of failed) {
      const document = piece.find(({ id, rev }) => id === failure.id && rev === failure.rev);
      if (failure.error.status === 412 && document !== undefined) onMissingStub(document);
      else await this.#settle(failure, course, document?.text);
    }
    return undefined;
  }

  #count(piece: readonly RevisionText[], failed: readonly WriteFailure[]): void {
    const { statistics } = this.context;
    statistics.docsWritten += Math.max(0, piece.length - failed.length);
    statistics.bytesWritten += lengthOf(piece);
    this.context.changed();
  }

  /** The target took none of them, because of some: finds out which. */
  async #bisect(
    piece: readonly RevisionText[],
    error: CouchError,
    course: Course,
    onMissingStub: OnMissingStub,
    doubts: number,
  ): Promise<void> {
    const [only] = piece;
    if (only === undefined) return;
    if (piece.length > 1) {
      const middle = piece.length >> 1;
      await this.write(piece.slice(0, middle), course, onMissingStub);
      await this.write(piece.slice(middle), course, onMissingStub);
    } else if (error.status === 412) {
      onMissingStub(only);
    } else if (isRefusal(error) && !isCertain(error) && doubts < DOUBTS) {
      await this.context.retrying.pause(doubts + 1, error);
      await this.write(piece, course, onMissingStub, doubts + 1);
    } else {
      await this.#settle({ id: only.id, rev: only.rev, error }, course, only.text);
    }
  }

  /** What is not refused for good is tried again later. */
  async #settle({ id, rev, error }: WriteFailure, course: Course, text: string | undefined): Promise<void> {
    if (isRefusal(error)) await course.refused({ id, rev, error, text });
    else course.hold({ id, missing: [rev], possibleAncestors: [] }, error);
  }

  /** One document that fails again and again, while the target is there. @throws where it is not */
  async #putAside(piece: readonly RevisionText[], failure: unknown, course: Course): Promise<void> {
    await requireAlive(this.context.target, failure, this.context.signal);
    for (const { id, rev } of piece) {
      course.hold({ id, missing: [rev], possibleAncestors: [] }, asCouchError(failure));
    }
  }
}

/** Tells a peer that is away from one that fails at one thing. @throws the failure where it is away, or overloaded */
export async function requireAlive(peer: Side, failure: unknown, signal: AbortSignal): Promise<void> {
  if (failure instanceof CouchError && failure.status === 429) throw failure;
  try {
    await peer.info(signal);
  } catch {
    throw failure;
  }
}

const isAmong = (failed: readonly WriteFailure[], { id, rev }: RevisionText): boolean =>
  failed.some((one) => one.id === id && one.rev === rev);

const lengthOf = (documents: readonly RevisionText[]): number =>
  documents.reduce((sum, { text }) => sum + text.length, 0);
