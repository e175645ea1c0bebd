import type { Dispatcher } from 'undici';

export interface HttpPeerOptions {
  /** Of the database; ends with `/`, holds no credentials. */
  readonly url: string;
  /** Sent with each request: `authorization` and whatever else was asked for. Never logged. */
  readonly headers: Readonly<Record<string, string>>;
  /** Connects, within limits, to what may be connected to (see `newAgent`). Whoever made it closes it. */
  readonly dispatcher: Dispatcher;
  /** Milliseconds of silence after which a request is given up; 30,000, CouchDB's `connection_timeout`, when left out. */
  readonly timeout?: number;
  /**
   * Hears what comes of each request: the status of its answer, or why there is none; and besides the status of one that is
   * not a CouchDB's the error that it is.
   */
  heard?(outcome: number | Error): void;
  /** Whether an answer that sends a request elsewhere is followed; never, when left out. */
  mayFollow?(url: URL): boolean;
}
