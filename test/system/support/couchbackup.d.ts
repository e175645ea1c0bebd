/** The part of couchbackup that the tests use. */
declare module '@cloudant/couchbackup' {
  import type { EventEmitter } from 'node:events';
  import type { Readable, Writable } from 'node:stream';

  export interface Options {
    readonly attachments?: boolean;
    /** Requests at once. */
    readonly parallelism?: number;
    /** Documents in one request. */
    readonly bufferSize?: number;
  }

  type Callback = (error: Error | null, data?: { readonly total: number }) => void;

  const couchbackup: {
    backup(url: string, target: Writable, options: Options, callback: Callback): EventEmitter;
    restore(source: Readable, url: string, options: Options, callback: Callback): EventEmitter;
  };
  export default couchbackup;
}
