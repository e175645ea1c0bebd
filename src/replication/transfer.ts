import { CouchError } from '../errors.js';
import { BatchSize } from './batch-size.js';
import type { Course } from './course.js';
import { asCouchError, isRefusal, meaningOf } from './failures.js';
import type {
  Fetched,
  MissingRevisions,
  OpenedRevision,
  RevisionText,
  RevisionWithAttachments,
} from './peer.js';
import type { RunContext } from './run-context.js';
import type { Statistics } from './statistics.js';
import { requireAlive, Writing } from './writing.js';

/** Documents of one batch that are fetched one by one at the same time. */
const APART = 4;

/** Brings revisions from the source to the target. */
export class Transfer {
  readonly #size: BatchSize;
  readonly #writing: Writing;

  constructor(private readonly context: RunContext) {
    this.#size = new BatchSize({ count: context.tuning.batchSize, bytes: Infinity });
    this.#writing = new Writing(context);
  }

  /** Each of the revisions is written, refused, held or gone from the source when this returns. */
  async move(wanted: readonly MissingRevisions[], course: Course): Promise<void> {
    const finish = await this.read(wanted, course);
    await finish();
  }

  /** Does the first part of `move`: reads what can be read at once, and begins to write. @returns the second part */
  async read(wanted: readonly MissingRevisions[], course: Course): Promise<() => Promise<void>> {
    if (this.context.options.useBulkGet === false) return () => this.#openAll(wanted, course);
    const apart = new Apart(wanted);
    const stubs: MissingRevisions[] = [];
    const outbox = new Outbox(this.context, this.#writing, course, ({ id, rev }) => {
      stubs.push({ id, missing: [rev], possibleAncestors: [] });
    });
    for (let left = wanted, failures = 0; left.length > 0;) {
      const piece = left.slice(0, this.#size.count);
      const received = new Received();
      try {
        await this.#fetch(piece, received, outbox, apart, course);
        this.#size.grow();
        failures = 0;
        left = left.slice(piece.length);
      } catch (error) {
        if (received.isWriting || meaningOf(error) === 'lasting') throw error;
        this.#size.shrink(piece.length);
        failures = received.isEmpty ? failures + 1 : 1;
        left = left.filter((one) => !received.has(one));
        if (piece.length === 1 && this.context.retrying.isEnough(failures)) {
          await requireAlive(this.context.source, error, this.context.signal);
          for (const one of piece) course.hold(one, asCouchError(error));
          left = left.filter((one) => !piece.includes(one));
          failures = 0;
        } else {
          await this.context.retrying.pause(failures, error);
        }
      }
    }
    return async () => {
      await outbox.flush();
      await this.#openAll([...apart.list(), ...stubs], course);
    };
  }

  async #fetch(
    piece: readonly MissingRevisions[],
    received: Received,
    outbox: Outbox,
    apart: Apart,
    course: Course,
  ): Promise<void> {
    const { source, statistics, signal } = this.context;
    statistics.bulkGetAttempts += piece.reduce((sum, { missing }) => sum + missing.length, 0);
    for await (const page of source.fetch(piece, signal)) {
      const documents: RevisionText[] = [];
      for (const one of page) {
        received.note(one);
        if (one.kind === 'document') {
          documents.push(one.document);
        } else if (one.kind === 'apart') {
          apart.note(one.id, one.rev);
        } else if (one.kind === 'failed') {
          course.hold({ id: one.id, missing: [one.rev], possibleAncestors: [] }, one.error);
        }
      }
      for (const document of await received.during(course.admit(documents))) {
        statistics.docsRead++;
        statistics.bulkGetDocs++;
        const writing = outbox.add(document);
        if (writing !== undefined) await received.during(writing);
      }
    }
  }

  async #openAll(wanted: readonly MissingRevisions[], course: Course): Promise<void> {
    const queue = wanted.values();
    const work = async (): Promise<void> => {
      for (const one of queue) await this.context.during(this.#open(one, course));
    };
    await Promise.all(Array.from({ length: Math.min(APART, wanted.length) }, work));
  }

  /**
   * Brings revisions of one document with what is attached to them. What has to be asked for again waits for the end of
   * the answer: that may hold the last connection.
   */
  async #open(wanted: MissingRevisions, course: Course, isDoubted = false): Promise<void> {
    const again: Again[] = [];
    await this.#read(wanted, course, { isDoubted, again });
    for (const one of again) await this.#open(one.wanted, course, one.isDoubted);
  }

  async #read(wanted: MissingRevisions, course: Course, pass: Pass): Promise<void> {
    for (let asked = wanted, failures = 0; ;) {
      const done = new Set<string>();
      try {
        for await (const opened of this.context.source.open(asked, this.context.signal)) {
          if (opened.kind === 'document') {
            await this.#writeOpened(opened, asked, course, pass);
            done.add(opened.document.rev);
          }
        }
        return;
      } catch (error) {
        const missing = asked.missing.filter((rev) => !done.has(rev));
        if (missing.length === 0) return;
        if (meaningOf(error) === 'lasting') throw error;
        asked = { ...asked, missing };
        failures++;
        if (this.context.retrying.isEnough(failures)) {
          await requireAlive(this.context.source, error, this.context.signal);
          await requireAlive(this.context.target, error, this.context.signal);
          course.hold(asked, asCouchError(error));
          return;
        }
        await this.context.retrying.pause(failures, error);
      }
    }
  }

  /** @throws what may pass when it is tried again, and what lasts */
  async #writeOpened(
    { document }: Extract<OpenedRevision, { kind: 'document' }>,
    asked: MissingRevisions,
    course: Course,
    pass: Pass,
  ): Promise<void> {
    const { statistics, target, signal } = this.context;
    if ((await course.admit([document])).length === 0) return;
    statistics.docsRead++;
    const own = { ...asked, missing: [document.rev] };
    const again = (): void => this.#onMissingStub(own, course, pass);
    if (document.attachments.length === 0) {
      await this.#writing.write([document], course, again);
      return;
    }
    const sent = new SentBytes(statistics);
    try {
      await target.writeWithAttachments(sent.counted(document), signal);
      statistics.docsWritten++;
      statistics.bytesWritten += document.text.length;
      this.context.changed();
      await this.context.written([document]);
    } catch (error) {
      sent.takeBack();
      if (!(error instanceof CouchError) || meaningOf(error) === 'passing') throw error;
      if (error.status === 412) again();
      else if (isRefusal(error)) await this.#refuse(document, error, own, course, pass);
      else throw error;
    }
  }

  /**
   * A request for one document says no in the same way as a database that the account may not use, or as something that
   * stands before it, if only for a moment: the second time it is the document.
   */
  async #refuse(
    { id, rev, text }: RevisionText,
    error: CouchError,
    wanted: MissingRevisions,
    course: Course,
    { isDoubted, again }: Pass,
  ): Promise<void> {
    if (error.status === 401 || error.status === 403)
      await requireAlive(this.context.target, error, this.context.signal);
    if (!isDoubted) {
      again.push({ wanted, isDoubted: true });
      return;
    }
    await course.refused({ id, rev, error, text });
  }

  /** The target lacks attachments that it should have: sends all of them, once. */
  #onMissingStub(wanted: MissingRevisions, course: Course, { isDoubted, again }: Pass): void {
    if (wanted.possibleAncestors.length > 0)
      again.push({ wanted: { ...wanted, possibleAncestors: [] }, isDoubted });
    else course.hold(wanted, new CouchError(412, 'missing_stub', 'an attachment is missing'));
  }
}

/** Revisions that are asked for once more. */
interface Again {
  readonly wanted: MissingRevisions;
  /** Whether they were refused once in a way that may have been meant for the account. */
  readonly isDoubted: boolean;
}

/** One reading of revisions. */
interface Pass extends Pick<Again, 'isDoubted'> {
  /** What comes after it. */
  readonly again: Again[];
}

/** Counts bytes of attachments while they are on their way: one alone may take an hour. */
class SentBytes {
  #bytes = 0;

  constructor(private readonly statistics: Pick<Statistics, 'bytesWritten'>) {}

  counted(document: RevisionWithAttachments): RevisionWithAttachments {
    const attachments = document.attachments.map((one) => ({ ...one, body: () => this.#count(one.body()) }));
    return { ...document, attachments };
  }

  async *#count(body: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of body) {
      this.#bytes += chunk.length;
      this.statistics.bytesWritten += chunk.length;
      yield chunk;
    }
  }

  /** What was sent was not written. */
  takeBack(): void {
    this.statistics.bytesWritten -= this.#bytes;
  }
}

/** What came of a request before it failed. */
class Received {
  readonly #ids = new Set<string>();
  #last: string | undefined;
  /** What fails meanwhile is not the source. */
  isWriting = false;

  get isEmpty(): boolean {
    return this.#last === undefined;
  }

  note(one: Fetched): void {
    const { id } = one.kind === 'document' ? one.document : one;
    this.#ids.add(id);
    this.#last = id;
  }

  async during<T>(writing: T | Promise<T>): Promise<T> {
    this.isWriting = true;
    const done = await writing;
    this.isWriting = false;
    return done;
  }

  /** Whether all of it came for certain: more may have been to come of the last document, and of one with several revisions. */
  has({ id, missing }: MissingRevisions): boolean {
    return missing.length === 1 && id !== this.#last && this.#ids.has(id);
  }
}

/** Gathers revisions to requests. While one is written the next are gathered. */
class Outbox {
  #documents: RevisionText[] = [];
  #bytes = 0;
  #writing: Promise<void> = Promise.resolve();

  constructor(
    private readonly context: RunContext,
    private readonly writing: Writing,
    private readonly course: Course,
    private readonly onMissingStub: (document: RevisionText) => void,
  ) {}

  /** @returns what has to be waited for before more is added */
  add(document: RevisionText): Promise<void> | undefined {
    this.#documents.push(document);
    this.#bytes += document.text.length;
    const { count, bytes } = this.writing.size;
    if (this.#documents.length < count && this.#bytes < bytes) return undefined;
    return this.#next();
  }

  async flush(): Promise<void> {
    await this.#next();
    await this.#writing;
  }

  async #next(): Promise<void> {
    const documents = this.#documents;
    this.#documents = [];
    this.#bytes = 0;
    await this.#writing;
    if (documents.length === 0) return;
    this.#writing = this.context.during(this.writing.write(documents, this.course, this.onMissingStub));
    // It may fail before anybody waits for it.
    this.#writing.catch(() => undefined);
  }
}

/** Revisions that have to be fetched one by one, with what the target has of their documents. */
class Apart {
  readonly #revs = new Map<string, string[]>();

  constructor(private readonly wanted: readonly MissingRevisions[]) {}

  note(id: string, rev: string): void {
    const revs = this.#revs.get(id);
    if (revs === undefined) this.#revs.set(id, [rev]);
    else if (!revs.includes(rev)) revs.push(rev);
  }

  list(): readonly MissingRevisions[] {
    return this.wanted.flatMap(({ id, possibleAncestors }) => {
      const missing = this.#revs.get(id);
      return missing === undefined ? [] : [{ id, missing, possibleAncestors }];
    });
  }
}
