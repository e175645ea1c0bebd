import type { FileHandle } from 'node:fs/promises';
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { DumpInUse } from './errors.js';
import { isBegun, makeDump, openDump } from './file.js';
import type { DumpHeader } from './format.js';

/** Where the lines of a dump go. */
export interface Sink {
  append(text: string): Promise<void>;
  /** Resolves when everything is on the disk, where there is one. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** The end of a file, which nobody else may write to. */
export class FileSink implements Sink {
  #failure: Error | undefined;

  constructor(
    private readonly file: FileHandle,
    private length: number,
  ) {}

  /** Nothing is put behind what was written in part. */
  async append(text: string): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      const { size, nlink } = await this.file.stat();
      if (size !== this.length || nlink === 0) throw new DumpInUse();
      await this.file.appendFile(text);
      this.length += Buffer.byteLength(text);
    } catch (error) {
      this.#failure = error as Error;
      throw error;
    }
  }

  async sync(): Promise<void> {
    await this.file.sync();
  }

  async close(): Promise<void> {
    await this.file.close();
  }
}

/** A dump that is made when its first line comes: before that it is not known whether there will be one. */
export class NewDumpSink implements Sink {
  #sink: FileSink | undefined;

  constructor(
    private readonly path: string,
    private readonly header: DumpHeader,
  ) {}

  async append(text: string): Promise<void> {
    this.#sink ??= await this.#make();
    await this.#sink.append(text);
  }

  async sync(): Promise<void> {
    await this.#sink?.sync();
  }

  async close(): Promise<void> {
    await this.#sink?.close();
  }

  async #make(): Promise<FileSink> {
    // Since it was looked at, somebody else may have begun.
    if (await isBegun(this.path)) throw new DumpInUse();
    await makeDump(this.path, this.header);
    const { file, length } = await openDump(this.path, 'append');
    return new FileSink(file, length);
  }
}

/** A stream, such as the standard output, at the pace of whoever reads it. */
export class StreamSink implements Sink {
  #failure: Error | undefined;

  constructor(private readonly stream: Writable) {
    stream.on('error', (error) => (this.#failure = error));
  }

  async append(text: string): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (!this.stream.write(text)) await once(this.stream, 'drain');
  }

  sync(): Promise<void> {
    return Promise.resolve();
  }

  /** The stream is whoever's who gave it. */
  close(): Promise<void> {
    return Promise.resolve();
  }
}
