import { CouchError } from '../errors.js';
import type { Course } from './course.js';
import { LocalPeer } from './local/peer.js';
import type { ChangedDocument, MissingRevisions, RevisionText } from './peer.js';
import type { Refusal } from './replication.js';
import { branchOf } from './revision-text.js';
import type { RunContext } from './run-context.js';
import type { Ticket } from './sequence-tracker.js';
import { Transfer } from './transfer.js';
import { bringsAll } from './write-order.js';

/**
 * Brings revisions from the source to the target, and late ones (see `WriteOrder`) behind the others: a request with both
 * would be no order, for a target may refuse the one and take the other.
 */
export class OrderedTransfer {
  readonly #transfer: Transfer;

  constructor(private readonly context: RunContext) {
    this.#transfer = new Transfer(context);
  }

  /** Each of the revisions is written, refused, held or gone from the source when this returns. */
  async move(wanted: readonly MissingRevisions[], ticket: Ticket): Promise<void> {
    const finish = await this.read(wanted, ticket);
    await finish();
  }

  /** Does the first part of `move`: reads what can be read at once, and begins to write. @returns the second part */
  async read(wanted: readonly MissingRevisions[], ticket: Ticket): Promise<() => Promise<void>> {
    const first = new FirstCourse(this.context);
    const finish = await this.#transfer.read(first.withoutLate(wanted), first);
    return async () => {
      await finish();
      await this.#follow(first, ticket);
    };
  }

  /** Late revisions share the fate of what they come after. */
  async #follow(first: FirstCourse, ticket: Ticket): Promise<void> {
    for (const { id, rev, error } of first.refusals.values()) {
      const waiting = waitsFor(id, rev, error);
      for (const late of first.takeLate(id)?.missing ?? [])
        await this.context.refused({ id, rev: late, error: waiting, behind: rev });
    }
    for (const [id, { wanted, error }] of first.held) {
      const late = first.takeLate(id)?.missing ?? [];
      this.context.hold({ ...wanted, missing: [...wanted.missing, ...late] }, error, ticket);
    }
    const late = first.late();
    if (late.length > 0) await this.#transfer.move(late, new LateCourse(this.context, ticket, this.#bring));
  }

  /** @returns what of it was not written */
  readonly #bring = async (wanted: readonly MissingRevisions[], ticket: Ticket): Promise<Failures> => {
    const first = new FirstCourse(this.context);
    await this.#transfer.move(first.withoutLate(wanted), first);
    await this.#follow(first, ticket);
    return first;
  };
}

interface Failures {
  /** By ids of documents; of each the first. */
  readonly refusals: ReadonlyMap<string, Refusal>;
  /** By ids of documents; all that is to be tried again of each. */
  readonly held: ReadonlyMap<string, { readonly wanted: MissingRevisions; readonly error: CouchError }>;
}

/** Leaves out what is late, and notes what else is not written. */
class FirstCourse implements Course, Failures {
  readonly refusals = new Map<string, Refusal>();
  readonly held = new Map<string, { readonly wanted: MissingRevisions; readonly error: CouchError }>();
  readonly #late = new Map<string, MissingRevisions>();

  constructor(private readonly context: RunContext) {}

  withoutLate(wanted: readonly MissingRevisions[]): readonly MissingRevisions[] {
    const { order } = this.context;
    if (order === undefined) return wanted;
    const isLate = (rev: string): boolean => order.isLate(rev);
    return wanted.flatMap((one) => {
      if (!one.missing.some(isLate)) return one;
      this.#late.set(one.id, { ...one, missing: one.missing.filter(isLate) });
      const missing = one.missing.filter((rev) => !isLate(rev));
      return missing.length === 0 ? [] : { ...one, missing };
    });
  }

  /**
   * Late ones come here only as descendants of what was asked for. So the document has changed since, and comes again behind
   * that in the feed: with it comes what is late, and all that it has to wait for.
   */
  admit(documents: readonly RevisionText[]): readonly RevisionText[] {
    const { order } = this.context;
    const late = order === undefined ? [] : documents.filter(({ rev }) => order.isLate(rev));
    if (late.length === 0) return documents;
    for (const { id } of late) this.#late.delete(id);
    return documents.filter((one) => !late.includes(one));
  }

  async refused(refusal: Refusal): Promise<void> {
    if (!this.refusals.has(refusal.id)) this.refusals.set(refusal.id, refusal);
    await this.context.refused(refusal);
  }

  /** What is held of one document is tried again together: else what is late would not wait for all of it. */
  hold(wanted: MissingRevisions, error: CouchError): void {
    const before = this.held.get(wanted.id);
    const together = before && {
      ...wanted,
      missing: [...new Set([...before.wanted.missing, ...wanted.missing])],
      possibleAncestors: [],
    };
    this.held.set(wanted.id, { wanted: together ?? wanted, error: before?.error ?? error });
  }

  late(): readonly MissingRevisions[] {
    return [...this.#late.values()];
  }

  takeLate(id: string): MissingRevisions | undefined {
    const late = this.#late.get(id);
    this.#late.delete(id);
    return late;
  }
}

/** A late revision, and the document that has to be at the target before it. */
interface Waiting {
  readonly late: RevisionText;
  readonly before: { readonly id: string; readonly rev: string };
}

/** Everything else of their documents is at the target: has documents brought that belong before them. */
class LateCourse implements Course {
  constructor(
    private readonly context: RunContext,
    private readonly ticket: Ticket,
    private readonly bring: (wanted: readonly MissingRevisions[], ticket: Ticket) => Promise<Failures>,
  ) {}

  async admit(documents: readonly RevisionText[]): Promise<readonly RevisionText[]> {
    const waiting = await this.#waiting(documents);
    const wanted = await this.#lacking(waiting.map(({ before }) => before));
    if (wanted.length === 0) return documents;
    const { refusals, held } = await this.bring(wanted, this.ticket);
    const kept = new Set<RevisionText>();
    for (const { late, before } of waiting) {
      const { id, rev, text } = late;
      const refusal = refusals.get(before.id);
      const error = refusal?.error ?? held.get(before.id)?.error;
      if (error === undefined) continue;
      kept.add(late);
      const waits = waitsFor(before.id, before.rev, error);
      if (refusal !== undefined) await this.refused({ id, rev, error: waits, text, behind: before.rev });
      else this.hold({ id, missing: [rev], possibleAncestors: [] }, waits);
    }
    return documents.filter((one) => !kept.has(one));
  }

  refused(refusal: Refusal): Promise<void> {
    return this.context.refused(refusal);
  }

  hold(wanted: MissingRevisions, error: CouchError): void {
    this.context.hold(wanted, error, this.ticket);
  }

  async #waiting(documents: readonly RevisionText[]): Promise<readonly Waiting[]> {
    const { order, options } = this.context;
    if (order === undefined || !bringsAll(options)) return [];
    const waiting: Waiting[] = [];
    for (const late of documents) {
      const [, parent] = order.isLate(late.rev) ? await branchOf(late.text) : [];
      if (parent !== undefined) waiting.push({ late, before: order.documentBefore(late.id, parent) });
    }
    return waiting;
  }

  /**
   * Those that the source has and the target lacks. Only a database of this server is asked, which costs little: others,
   * whose replicators know of no order, would be asked about documents that there hardly ever are.
   */
  async #lacking(
    documents: readonly { readonly id: string; readonly rev: string }[],
  ): Promise<readonly MissingRevisions[]> {
    const { source, target, signal, retrying } = this.context;
    if (documents.length === 0 || !(source instanceof LocalPeer)) return [];
    const asked = documents.map(({ id, rev }): ChangedDocument => ({ id, revs: [rev], seq: undefined }));
    const unknown = new Set((await source.revsDiff(asked)).map(({ id }) => id));
    const there = asked.filter(({ id }) => !unknown.has(id));
    return there.length === 0 ? [] : retrying.run(() => target.revsDiff(there, signal));
  }
}

const waitsFor = (id: string, rev: string, { status, error, reason }: CouchError): CouchError =>
  new CouchError(status, error, `It waits for ${rev} of ${id}, which is not taken: ${reason}`);
