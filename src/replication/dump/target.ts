import { conflict, missingStub } from '../../errors.js';
import {
  type ChangedDocument,
  type LocalLog,
  type MissingRevisions,
  type PeerInfo,
  PeerUnreachable,
  type RevisionText,
  type RevisionWithAttachments,
  type Target,
  type WriteFailure,
} from '../peer.js';
import type { FollowingAttachment } from '../../multipart/writer.js';
import type { DumpFile } from './file.js';
import { attachmentLine, checkpointLine, CHUNK, completeLine, documentLine, stubIn } from './format.js';
import { FileSink, type Sink } from './sink.js';
import { readTail, revisionKey, type Tail } from './tail.js';

const NOTHING: Tail = { checkpoint: undefined, written: new Set(), end: 0, isComplete: false };

/** Writes a dump: revisions in the order in which they come, with checkpoints in between. */
export class DumpTarget implements Target {
  readonly #logs = new Map<string, { readonly log: LocalLog; readonly rev: number }>();
  #last: Promise<unknown> = Promise.resolve();
  /** Whether no line says yet that everything is written. */
  #isOpen: boolean;

  /** @param tail what stands there already, but for the header; in a new dump nothing does */
  constructor(
    readonly name: string,
    private readonly sink: Sink,
    private readonly tail = NOTHING,
  ) {
    this.#isOpen = !tail.isComplete;
    const { checkpoint } = tail;
    if (checkpoint !== undefined) this.#logs.set(checkpoint.id, { log: checkpoint.log, rev: 1 });
  }

  /** Goes on with a dump. What was broken off at its end is cut off. */
  static async resume(dump: DumpFile): Promise<DumpTarget> {
    const tail = await readTail(dump);
    await dump.file.truncate(tail.end);
    return new DumpTarget(dump.path, new FileSink(dump.file, tail.end), tail);
  }

  info(): Promise<PeerInfo> {
    const { checkpoint, written } = this.tail;
    const isEmpty = checkpoint === undefined && written.size === 0;
    return Promise.resolve({ updateSeq: 0, isEmpty, instanceStartTime: '0' });
  }

  /** It is there since it was opened. */
  create(): Promise<void> {
    return Promise.resolve();
  }

  getLocal(id: string): Promise<LocalLog | undefined> {
    const found = this.#logs.get(id);
    return Promise.resolve(found && { ...found.log, _id: id, _rev: `0-${String(found.rev)}` });
  }

  /** Of a history the newest entry is written: the source has the others. */
  async putLocal(id: string, { _rev, history, ...log }: LocalLog): Promise<string> {
    const before = this.#logs.get(id)?.rev ?? 0;
    if (before > 0 && _rev !== `0-${String(before)}`) throw conflict();
    const newest = Array.isArray(history) ? { history: history.slice(0, 1) } : {};
    const kept: LocalLog = { ...log, ...newest };
    await this.#alone(() => this.#append(checkpointLine(id, kept)));
    this.#logs.set(id, { log: kept, rev: before + 1 });
    return `0-${String(before + 1)}`;
  }

  /**
   * Of what was written before the last checkpoint nothing is known any more: the few revisions of it that the source
   * comes to again, such as those of batches that overtook others, are written twice.
   */
  revsDiff(documents: readonly ChangedDocument[]): Promise<readonly MissingRevisions[]> {
    const { written } = this.tail;
    const missing = documents.flatMap(({ id, revs }) => {
      const left = revs.filter((rev) => !written.has(revisionKey(id, rev)));
      return left.length === 0 ? [] : [{ id, missing: left, possibleAncestors: [] }];
    });
    return Promise.resolve(missing);
  }

  async write(documents: readonly RevisionText[]): Promise<readonly WriteFailure[]> {
    const failures: WriteFailure[] = [];
    let lines = '';
    for (const document of documents) {
      const { id, rev, text } = document;
      const stub = stubIn(text);
      if (stub !== undefined) failures.push({ id, rev, error: missingStub(id, stub) });
      else lines += documentLine(document);
    }
    if (lines !== '') await this.#alone(() => this.#append(lines));
    return failures;
  }

  /** Where it fails half-way, readers pass over what was written. */
  async writeWithAttachments(document: RevisionWithAttachments): Promise<void> {
    const stub = stubIn(document.text);
    if (stub !== undefined) throw missingStub(document.id, stub);
    await this.#alone(async () => {
      await this.#append(documentLine(document));
      for (const attachment of document.attachments) await this.#appendBytes(attachment);
    });
  }

  async ensureFullCommit(): Promise<string> {
    await this.#alone(() => this.sink.sync());
    return '0';
  }

  /** Everything is written that was to be: says so at the end. */
  async complete(): Promise<void> {
    if (!this.#isOpen) return;
    await this.#alone(async () => {
      await this.sink.append(completeLine());
      await this.sink.sync();
    });
    this.#isOpen = false;
  }

  async close(): Promise<void> {
    await this.#last;
    await this.sink.close();
  }

  async #append(text: string): Promise<void> {
    this.#isOpen = true;
    await this.sink.append(text);
  }

  async #appendBytes({ name, length, body }: FollowingAttachment): Promise<void> {
    let total = 0;
    for await (const bytes of chunks(body(), CHUNK)) {
      total += bytes.length;
      await this.#append(attachmentLine(name, bytes));
    }
    if (total !== length)
      throw new PeerUnreachable(`an attachment of ${String(length)} bytes has ${String(total)}`);
  }

  /** One after the other, in the order in which it is asked for. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }
}

/** The same bytes in pieces of one size, but for the last one. */
async function* chunks(body: AsyncIterable<Buffer>, size: number): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  let length = 0;
  for await (const bytes of body) {
    let rest = bytes;
    while (length + rest.length >= size) {
      yield Buffer.concat([...parts, rest.subarray(0, size - length)]);
      rest = rest.subarray(size - length);
      parts = [];
      length = 0;
    }
    parts.push(rest);
    length += rest.length;
  }
  if (length > 0) yield Buffer.concat(parts);
}
