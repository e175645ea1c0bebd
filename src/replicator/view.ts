import { isDatabaseAdmin, securityOf } from '../auth/security.js';
import { isServerAdmin, type UserContext } from '../auth/usercontext.js';
import { bodyOf } from '../auth/users/password-members.js';
import type { Queue } from '../store/queue.js';
import { forbidden, unauthorized, type CouchError } from '../errors.js';
import { members } from '../json/text.js';
import { DatabaseView } from '../store/database-view.js';
import { writeSingly } from './write-singly.js';
import type { ChangeRow, ChangesRange } from '../store/types/changes.js';
import type { Database } from '../store/types/database.js';
import type { DocumentEdit, EditResult, WriteOptions } from '../store/types/edits.js';
import type { Listing, ListRange } from '../store/types/listings.js';
import type { DocumentRecord, StoredRevision } from '../store/types/records.js';
import { isNoReplication, membersOf, REPLICATOR, type Members } from './documents.js';
import { withoutCredentials } from './endpoint.js';

/** What the rules of replicator databases depend on. */
export interface DocumentRules {
  /** Whether somebody of this name is a server admin, whatever they ask for now: their replications may go further. */
  isAdmin(name: string): boolean;
  /** @throws CouchError 403 for what makes no replication, or none that the owner may have */
  check(members: Members, owner: string): void;
}

/**
 * A replicator database as one user may see it: others than the owners of documents, and admins, get no credentials to
 * read. What is written is a replication, and somebody's own.
 */
export class ReplicatorView extends DatabaseView {
  readonly #isAdmin: boolean;

  /** @param writes in which documents are judged and written: between the two nothing may change */
  constructor(
    inner: Database,
    private readonly user: UserContext,
    private readonly judgement: DocumentRules,
    private readonly writes: Queue,
  ) {
    super(inner);
    this.#isAdmin = isDatabaseAdmin(user, securityOf(inner.security));
  }

  // ---- reading ------------------------------------------------------------------------------------------------

  override read(record: DocumentRecord, rev: string): string | undefined {
    return this.#shown(record.id, this.inner.read(record, rev));
  }

  override async readMany(
    wanted: readonly (StoredRevision | undefined)[],
    once?: boolean,
  ): Promise<(string | undefined)[]> {
    const texts = await this.inner.readMany(wanted, once);
    return texts.map((text, at) => this.#shown(wanted[at]?.record.id ?? '', text));
  }

  override async list(range: ListRange): Promise<Listing> {
    this.#requireLister();
    const listing = await this.inner.list(range);
    return this.#isAdmin ? listing : { ...listing, pages: this.#listed(listing) };
  }

  async *#listed({ pages }: Listing): Listing['pages'] {
    for await (const page of pages) {
      yield page.map((row) => {
        const text = this.#shown(row.id, row.text);
        return text === undefined ? row : { ...row, text };
      });
    }
  }

  override changes(range: ChangesRange): AsyncIterable<readonly ChangeRow[]> {
    this.#requireLister();
    return this.inner.changes(range);
  }

  /** CouchDB has server admins alone list its own. @throws CouchError 401 */
  #requireLister(): void {
    if (this.name === REPLICATOR && !isServerAdmin(this.user))
      throw unauthorized('You are not a server admin.');
  }

  #shown(id: string, text: string | undefined): string | undefined {
    if (text === undefined || this.#isAdmin || isNoReplication(id)) return text;
    const own = members(text) ?? new Map<string, string>();
    if (this.user.name !== null && ownerIn(own) === this.user.name) return text;
    for (const name of ['source', 'target']) {
      const given = own.get(name);
      if (given !== undefined) own.set(name, JSON.stringify(withoutCredentials(JSON.parse(given))));
    }
    return `{${bodyOf(own)}}`;
  }

  // ---- writing ------------------------------------------------------------------------------------------------

  /**
   * @throws CouchError 401 or 403 where a new revision may not be written; none is then, as in CouchDB. Of revisions that
   * a replicator brings, each is judged for itself.
   */
  override write(edits: readonly DocumentEdit[], options: WriteOptions): Promise<EditResult[]> {
    return this.writes.add(() => {
      if (!options.newEdits) return writeSingly(this.inner, edits, options, (edit) => this.#judged(edit));
      return this.inner.write(
        edits.map((edit) => this.#judged(edit)),
        options,
      );
    });
  }

  /** Who may resolve a conflict may also write, and delete, what they want to be left. @throws CouchError 403 */
  override resolve(): Promise<never> {
    return Promise.reject(forbidden('Conflicts of a replicator database are resolved by writing documents.'));
  }

  /** The edit with an owner. @throws CouchError */
  #judged(edit: DocumentEdit): DocumentEdit {
    if (isNoReplication(edit.id)) return edit;
    const { name } = this.user;
    if (name === null) throw unauthorized('You are not an authenticated user');
    this.#requireOwn(edit.id, name);
    if (edit.deleted) return edit;
    const texts = members(`{${edit.body}}`) ?? new Map<string, string>();
    const owner = this.#ownerOf(texts, name);
    texts.set('owner', JSON.stringify(owner));
    const body = bodyOf(texts);
    // One that failed does nothing, and may be corrected in steps.
    if (texts.get('_replication_state') !== '"failed"') this.judgement.check(membersOf(`{${body}}`), owner);
    return { ...edit, body };
  }

  /** CouchDB lets every member take a document over that does not say whose it is. @throws CouchError 403 */
  #requireOwn(id: string, name: string): void {
    const record = this.#isAdmin ? undefined : this.inner.get(id);
    if (record === undefined || record.deleted) return;
    const text = this.inner.read(record, record.winner);
    if (text !== undefined && ownerIn(members(text) ?? new Map<string, string>()) !== name) throw notOwn();
  }

  /** @throws CouchError 403 */
  #ownerOf(texts: ReadonlyMap<string, string>, name: string): string {
    const owner = ownerIn(texts);
    if (owner === undefined || owner === null || owner === name) return name;
    const maySay = this.#isAdmin && typeof owner === 'string';
    // What an admin of the server may do is not an admin's of the database to give.
    if (!maySay || (this.judgement.isAdmin(owner) && !isServerAdmin(this.user))) throw notOwn();
    return owner;
  }
}

const ownerIn = (texts: ReadonlyMap<string, string>): unknown => {
  const text = texts.get('owner');
  return text === undefined ? undefined : (JSON.parse(text) as unknown);
};

const notOwn = (): CouchError => forbidden("Can't update replication documents from other users.");
