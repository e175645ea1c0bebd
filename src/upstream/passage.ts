import type { Dispatcher } from 'undici';

/** A request as it goes to the upstream. */
export interface PassingRequest {
  readonly method: string;
  /** Path and query, whole. */
  readonly path: string;
  /** Names and values in turn. */
  readonly headers: string[];
  readonly body: Buffer | AsyncIterable<Buffer> | undefined;
}

/** Who gets the answer. */
export interface Receiver {
  /** @param headers names and values in turn */
  begin(status: number, headers: readonly string[]): void;
  /** @returns what resolves when it can take more; undefined where it can at once */
  write(chunk: Buffer): Promise<void> | undefined;
}

/** Why a request is given up whose client has gone. */
const GONE = new Error('the client left');

/** The body of a request could not be read to its end; the cause says why. */
export class BodyFailed extends Error {
  override readonly name = 'BodyFailed';
}

/**
 * One request on its way through: bodies flow in both directions as fast as the other side takes them, and nothing of
 * them is kept.
 */
export class Passage implements Dispatcher.DispatchHandler {
  /** Resolves when the answer is complete, or the client has left. @throws BodyFailed, what undici says of the connection */
  readonly done: Promise<void>;
  #controller: Dispatcher.DispatchController | undefined;
  #settle: (error?: Error) => void = () => undefined;
  #hasLeft = false;
  #bodyError: BodyFailed | undefined;

  constructor(private readonly receiver: Receiver) {
    this.done = new Promise((resolve, reject) => {
      this.#settle = (error) => (error === undefined ? resolve() : reject(error));
    });
  }

  /** The body of the request, so that it is known when it is the client who fails. */
  bodyOf({ body }: PassingRequest): Buffer | AsyncIterable<Buffer> | null {
    return body === undefined || Buffer.isBuffer(body) ? (body ?? null) : this.#watched(body);
  }

  /** The client has gone: what it asked for is asked for no more. */
  leave(): void {
    this.#hasLeft = true;
    // What undici says of that is no failure.
    this.#settle();
    this.#controller?.abort(GONE);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#hasLeft) controller.abort(GONE);
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    // Before the answer there may be others, such as 103, that are for the next hop.
    if (status >= 200) this.receiver.begin(status, textsOf(controller.rawHeaders));
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const room = this.receiver.write(chunk);
    if (room === undefined) return;
    controller.pause();
    void room.then(() => controller.resume());
  }

  onResponseEnd(): void {
    this.#settle();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#settle(this.#bodyError ?? error);
  }

  async *#watched(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    try {
      yield* body;
    } catch (error) {
      this.#bodyError = new BodyFailed('the body of the request ended early', { cause: error });
      throw this.#bodyError;
    }
  }
}

/** Headers as undici has them: bytes, names and values in turn. */
function textsOf(raw: Dispatcher.DispatchController['rawHeaders']): string[] {
  return Array.isArray(raw)
    ? raw.map((part) => (typeof part === 'string' ? part : part.toString('latin1')))
    : [];
}
