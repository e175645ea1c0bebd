import { CouchError, conflict, forbidden, notFound, unauthorized } from '../../errors.js';
import { members } from '../../json/text.js';
import { inTurns, Turns, type Work } from '../../json/turns.js';
import { DatabaseView } from '../../store/database-view.js';
import { storedText } from '../../store/document.js';
import { accepted, type Judged, resultsOf } from '../../store/judging.js';
import type { ChangeRow, ChangesRange } from '../../store/types/changes.js';
import type { Database, PurgeRequest } from '../../store/types/database.js';
import type { DocumentEdit, EditResult, WriteOptions } from '../../store/types/edits.js';
import type { Listing, ListRange, LocalDocument } from '../../store/types/listings.js';
import type { DocumentRecord, StoredRevision } from '../../store/types/records.js';
import { derivePassword, type HashTarget } from '../password.js';
import { isDatabaseAdmin, securityOf } from '../security.js';
import { isServerAdmin, type UserContext } from '../usercontext.js';
import { membersOf } from './document.js';
import { userOf } from './ids.js';
import { bodyOf, takePassword, withHash } from './password-members.js';
import { publicText } from './public.js';
import type { Queue } from '../../store/queue.js';
import { refuseUser } from './rules.js';

/** What the rules of `_users` depend on. */
export interface UsersRules {
  readonly target: HashTarget;
  /** Members that everybody may read. */
  readonly publicFields: readonly string[];
  /** Whether they may be listed, too. */
  readonly isListed: boolean;
}

/** So many passwords of one request are hashed for others than server admins: a third of a second is paid for each. */
const MOST_PASSWORDS = 100;

const isDesign = (id: string): boolean => id.startsWith('_design/');

/**
 * `_users` as one user may see it. Documents of others are not there, or only their public members are; documents are
 * written by CouchDB's rules, passwords hashed.
 */
export class UsersView extends DatabaseView {
  readonly #sees: boolean;
  /** How many passwords were hashed. */
  #hashed = 0;

  /**
   * @param writes in which documents are judged and written: between the two nothing may change
   * @param isGone whether nobody waits for the answer any more
   */
  constructor(
    inner: Database,
    private readonly user: UserContext,
    private readonly usersRules: UsersRules,
    private readonly writes: Queue,
    private readonly isGone: () => boolean,
  ) {
    super(inner);
    this.#sees = isDatabaseAdmin(user, securityOf(inner.security));
  }

  // ---- reading ------------------------------------------------------------------------------------------------

  /** @throws CouchError 403 for a design document that the user may not see */
  override get(id: string): DocumentRecord | undefined {
    if (!this.#sees && isDesign(id))
      throw forbidden('Only administrators can view design docs in the users database.');
    const record = this.inner.get(id);
    return record && this.#shows(record) ? record : undefined;
  }

  override async getMany(ids: readonly string[]): Promise<(DocumentRecord | undefined)[]> {
    return inTurns(this.#visible(await this.inner.getMany(ids)));
  }

  *#visible(records: readonly (DocumentRecord | undefined)[]): Work<(DocumentRecord | undefined)[]> {
    const visible: (DocumentRecord | undefined)[] = [];
    for (const record of records) {
      visible.push(record && this.#shows(record) ? record : undefined);
      yield;
    }
    return visible;
  }

  /** Whether there is anything of a document that the user may read. */
  #shows(record: DocumentRecord): boolean {
    if (this.#isOwn(record.id)) return true;
    if (this.usersRules.publicFields.length === 0) return false;
    return this.#shown(record, this.inner.read(record, record.winner)) !== undefined;
  }

  #isOwn(id: string): boolean {
    return this.#sees || (this.user.name !== null && userOf(id) === this.user.name);
  }

  override read(record: DocumentRecord, rev: string): string | undefined {
    return this.#shown(record, this.inner.read(record, rev));
  }

  override async readMany(
    wanted: readonly (StoredRevision | undefined)[],
    once?: boolean,
  ): Promise<(string | undefined)[]> {
    const texts = await this.inner.readMany(wanted, once);
    return texts.map((text, at) => {
      const record = wanted[at]?.record;
      return record && this.#shown(record, text);
    });
  }

  #shown(record: DocumentRecord, text: string | undefined): string | undefined {
    if (text === undefined || this.#isOwn(record.id)) return text;
    if (userOf(record.id) === undefined) return undefined;
    return publicText(text, this.usersRules.publicFields);
  }

  override async list(range: ListRange): Promise<Listing> {
    if (this.#sees) return this.inner.list(range);
    if (!this.usersRules.isListed) throw notListed();
    const listing = await this.inner.list({ ...range, records: true });
    return { ...listing, pages: this.#listed(listing) };
  }

  async *#listed({ pages }: Listing): Listing['pages'] {
    for await (const page of pages) {
      yield page.map(({ text, record, ...row }) => {
        if (text === undefined) return row;
        return {
          ...row,
          text: (record && this.#shown(record, text)) ?? storedText(row.id, row.rev, false, ''),
        };
      });
    }
  }

  override changes(range: ChangesRange): AsyncIterable<readonly ChangeRow[]> {
    if (!this.#sees) throw notListed();
    return this.inner.changes(range);
  }

  override listLocal(range: ListRange): AsyncIterable<readonly LocalDocument[]> {
    if (!this.#sees) throw notListed();
    return this.inner.listLocal(range);
  }

  /** They name documents of others. */
  override purges(): AsyncIterable<readonly PurgeRequest[]> {
    if (!this.#sees) throw notListed();
    return this.inner.purges();
  }

  override getLocal(id: string): LocalDocument | undefined {
    return this.#sees ? this.inner.getLocal(id) : undefined;
  }

  // ---- writing ------------------------------------------------------------------------------------------------

  /** Local documents are notes of replicators, which need to be admins here. */
  override putLocal(id: string, rev: string | undefined, body: string): Promise<string> {
    return this.#sees ? this.inner.putLocal(id, rev, body) : Promise.reject(notFound());
  }

  override deleteLocal(id: string): Promise<boolean> {
    return this.#sees ? this.inner.deleteLocal(id) : Promise.resolve(false);
  }

  /** @throws CouchError 404 where one of the documents is another user's; none is written then */
  override async write(edits: readonly DocumentEdit[], options: WriteOptions): Promise<EditResult[]> {
    for (const { id } of edits) requireOwn(id, this.user);
    const ready: Judged[] = [];
    const turns = new Turns();
    // Hashing takes its time: whoever left need not be served, and others get their turns in between.
    for (const edit of edits) {
      ready.push(this.isGone() ? { error: notFound() } : await this.#prepare(edit, options));
      await turns.pass();
    }
    return this.writes.add(() => this.#writeJudged(ready, options));
  }

  /** Who may resolve a conflict may also write, and delete, what they want to be left. @throws CouchError 403 */
  override resolve(): Promise<never> {
    return Promise.reject(forbidden('Conflicts of the users database are resolved by writing documents.'));
  }

  /** The edit with its password hashed, where it would be written: hashing is dear. */
  async #prepare(edit: DocumentEdit, options: WriteOptions): Promise<Judged> {
    if (edit.deleted || isDesign(edit.id)) return { edit };
    try {
      const { texts, clear } = takePassword(members(`{${edit.body}}`) ?? new Map<string, string>());
      if (clear === undefined) return { edit };
      const asWritten = { ...edit, body: bodyOf(texts) };
      const error = this.#refusal(asWritten, options);
      if (error !== undefined) return { error };
      if (this.#hashed++ >= MOST_PASSWORDS && !isServerAdmin(this.user)) return { error: tooMany() };
      const hash = await derivePassword(clear, this.usersRules.target);
      return { edit: { ...edit, body: bodyOf(withHash(texts, hash)) } };
    } catch (error) {
      if (error instanceof CouchError && error.status < 500) return { error };
      throw error;
    }
  }

  async #writeJudged(ready: readonly Judged[], options: WriteOptions): Promise<EditResult[]> {
    const judged = await inTurns(this.#judge(ready, options));
    const edits = accepted(judged);
    return resultsOf(judged, edits.length === 0 ? [] : await this.inner.write(edits, options));
  }

  *#judge(ready: readonly Judged[], options: WriteOptions): Work<readonly Judged[]> {
    const judged: Judged[] = [];
    for (const one of ready) {
      const error = 'edit' in one ? this.#refusal(one.edit, options) : undefined;
      judged.push(error === undefined ? one : { error });
      yield;
    }
    return judged;
  }

  /** Why a document may not be written, which depends on the living one that it replaces. */
  #refusal(edit: DocumentEdit, { newEdits }: WriteOptions): CouchError | undefined {
    if (isDesign(edit.id))
      return isServerAdmin(this.user) ? undefined : unauthorized('You are not a db or server admin.');
    const record = this.inner.get(edit.id);
    const before = record && !record.deleted ? this.inner.read(record, record.winner) : undefined;
    if (newEdits && before !== undefined && record !== undefined && !namesLeaf(record, edit))
      return conflict();
    const write = {
      id: edit.id,
      deleted: edit.deleted,
      members: membersOf(`{${edit.body}}`),
      before: before === undefined ? undefined : membersOf(before),
    };
    return refuseUser(write, this.user, securityOf(this.inner.security));
  }
}

/**
 * Refuses to write what is neither the user's own document nor a new user's. Only server admins write others.
 * @throws CouchError 404, as if there were none
 */
export function requireOwn(id: string, user: UserContext): void {
  if (!isServerAdmin(user) && user.name !== null && userOf(id) !== user.name) throw notFound();
}

/** An edit of anything else is in conflict, whatever else is wrong with it. */
function namesLeaf(record: DocumentRecord, { revisions: { start, ids } }: DocumentEdit): boolean {
  const rev = `${String(start)}-${ids[0] ?? ''}`;
  return record.leaves().some((leaf) => leaf.rev === rev);
}

const tooMany = (): CouchError =>
  forbidden(`At most ${String(MOST_PASSWORDS)} passwords can be set at once.`);

const notListed = (): CouchError => unauthorized('You are not a server admin.');
