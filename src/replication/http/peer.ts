import { Readable } from 'node:stream';
import { CouchError } from '../../errors.js';
import { quote } from '../../json/quote.js';
import { documentEntity, newBoundary } from '../../multipart/writer.js';
import {
  type ChangedDocument,
  type ChangesPage,
  type ChangesRequest,
  type Fetched,
  type JsonObject,
  type LocalLog,
  type MissingRevisions,
  type OpenedRevision,
  type Peer,
  type PeerInfo,
  PeerUnreachable,
  type RevisionText,
  type RevisionWithAttachments,
  type WriteFailure,
} from '../peer.js';
import { meaningOf } from '../failures.js';
import { announcedOf } from './announced.js';
import { bulkGet } from './bulk-get.js';
import { readChanges } from './changes.js';
import { brief, HttpClient } from './client.js';
import { openRevs } from './open-revs.js';
import type { HttpPeerOptions } from './options.js';
import { documentPath, queryString } from './paths.js';
import { isPacked, withPlainAttachments } from './plain-attachments.js';

/** What servers answer to a path that they do not know. */
const UNKNOWN_PATH = new Set([404, 405, 501]);
/** What servers answer that do not know `_bulk_get`. */
const NO_BULK_GET = new Set([400, 404, 405, 501]);

type Missing = Extract<Fetched, { kind: 'missing' }>;

/** A database behind HTTP: a CouchDB, another of these servers, or whatever speaks as they do. */
export class HttpPeer implements Peer {
  readonly name: string;
  /** For what no replication asks. */
  readonly client: HttpClient;
  /** Found out by the first request. */
  #hasBulkGet = true;
  /** Whether it knows packed attachments; found out before the first is sent. */
  #knowsPacked: boolean | undefined;

  constructor(options: HttpPeerOptions) {
    this.name = options.url;
    this.client = new HttpClient(options);
  }

  async info(signal: AbortSignal): Promise<PeerInfo> {
    const info = asObject(await this.client.json({ method: 'GET', path: '', signal }));
    const { update_seq: seq, doc_count: count, doc_del_count: deleted, instance_start_time: start } = info;
    return {
      updateSeq: typeof seq === 'string' || typeof seq === 'number' ? seq : JSON.stringify(seq ?? 0),
      isEmpty: count === 0 && deleted === 0,
      instanceStartTime: typeof start === 'string' ? start : '0',
    };
  }

  async create(parameters: JsonObject, signal: AbortSignal): Promise<void> {
    const given = Object.entries(parameters).map(([name, value]) => [name, asParameter(value)]);
    const query = queryString(Object.fromEntries(given) as Record<string, string>);
    await this.client.json({ method: 'PUT', path: query, signal }).catch(unless(412));
  }

  async get(id: string, signal: AbortSignal): Promise<JsonObject | undefined> {
    const document = await this.client
      .json({ method: 'GET', path: documentPath(id), signal })
      .catch((error: unknown) => {
        if (!isMissing(error)) throw error;
      });
    return document === undefined ? undefined : asObject(document);
  }

  getLocal(id: string, signal: AbortSignal): Promise<LocalLog | undefined> {
    return this.get(id, signal);
  }

  async putLocal(id: string, log: LocalLog, signal: AbortSignal): Promise<string> {
    const body = JSON.stringify(log);
    const { rev } = asObject(await this.client.json({ method: 'PUT', path: documentPath(id), body, signal }));
    if (typeof rev !== 'string') throw new PeerUnreachable('a write was answered without a revision');
    return rev;
  }

  changes(request: ChangesRequest, signal: AbortSignal): Promise<ChangesPage> {
    return readChanges(this.client, request, signal);
  }

  async revsDiff(
    documents: readonly ChangedDocument[],
    signal: AbortSignal,
  ): Promise<readonly MissingRevisions[]> {
    const members = documents.map(({ id, revs }) => `${quote(id)}:${JSON.stringify(revs)}`);
    const answer = await this.client.json({
      method: 'POST',
      path: '_revs_diff',
      body: `{${members.join(',')}}`,
      signal,
    });
    return Object.entries(asObject(answer)).map(([id, found]) => {
      const { missing, possible_ancestors: ancestors } = asObject(found);
      return { id, missing: asStrings(missing), possibleAncestors: asStrings(ancestors ?? []) };
    });
  }

  async *fetch(wanted: readonly MissingRevisions[], signal: AbortSignal): AsyncGenerator<readonly Fetched[]> {
    let begun = false;
    try {
      if (this.#hasBulkGet) {
        const missing: Missing[] = [];
        for await (const page of bulkGet(this.client, wanted, signal)) {
          begun = true;
          const gone = page.filter((one) => one.kind === 'missing');
          missing.push(...gone);
          yield gone.length === 0 ? page : page.filter((one) => one.kind !== 'missing');
        }
        if (missing.length > 0) yield await this.#judge(missing, signal);
        return;
      }
    } catch (error) {
      if (begun || !(error instanceof CouchError) || !NO_BULK_GET.has(error.status)) throw error;
      this.#hasBulkGet = false;
    }
    yield wanted.flatMap(({ id, missing }) => missing.map((rev): Fetched => ({ kind: 'apart', id, rev })));
  }

  /**
   * Besides what `Source` says: a revision is gone where the feed does not announce it any more.
   * @throws CouchError 500 for one that is announced and missing, once everything else came: somebody may not have got it
   * yet, and it must not vanish
   */
  async *open(wanted: MissingRevisions, signal: AbortSignal): AsyncGenerator<OpenedRevision> {
    const missing = new Set<string>();
    try {
      for await (const opened of openRevs(this.client, wanted, signal)) {
        if (opened.kind === 'missing') missing.add(opened.rev);
        yield opened;
      }
    } catch (error) {
      if (!isGone(error)) throw error;
      for (const rev of wanted.missing) missing.add(rev);
    }
    if (missing.size > 0) await this.#requireGone(wanted.id, missing, signal);
  }

  /** What is announced is asked for by itself. */
  async #judge(missing: readonly Missing[], signal: AbortSignal): Promise<readonly Fetched[]> {
    const announced = await announcedOf(this.client, missing, signal);
    return missing.map((one) => (announced.has(one) ? { ...one, kind: 'apart' } : one));
  }

  async #requireGone(id: string, revs: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
    const missing = Array.from(revs, (rev) => ({ id, rev }));
    const announced = Array.from(await announcedOf(this.client, missing, signal), ({ rev }) => rev);
    if (announced.length > 0)
      throw new CouchError(
        500,
        'not_found',
        `missing, though the feed announces it: ${brief(id)} ${announced.join(', ')}`,
      );
  }

  async write(documents: readonly RevisionText[], signal: AbortSignal): Promise<readonly WriteFailure[]> {
    const docs = documents.map(({ text }) => text).join(',');
    const answer = await this.client.json({
      method: 'POST',
      path: '_bulk_docs',
      body: `{"new_edits":false,"docs":[${docs}]}`,
      signal,
    });
    if (!Array.isArray(answer)) throw new PeerUnreachable('the answer of _bulk_docs is no list');
    return answer.flatMap((row: unknown) => {
      const { id, rev, error, reason } = asObject(row);
      if (error === undefined) return [];
      if (typeof id !== 'string') throw new PeerUnreachable('an error without a document');
      const own = typeof rev === 'string' ? rev : (documents.find((one) => one.id === id)?.rev ?? '');
      return [{ id, rev: own, error: asError(error, reason) }];
    });
  }

  async writeWithAttachments(document: RevisionWithAttachments, signal: AbortSignal): Promise<void> {
    const { id, text, attachments } = await this.#asTaken(document, signal);
    const entity = documentEntity(text, attachments, newBoundary());
    await this.client.json({
      method: 'PUT',
      path: `${documentPath(id)}?new_edits=false`,
      headers: { 'content-type': entity.type, 'content-length': String(entity.length()) },
      body: Readable.from(entity.chunks()),
      signal,
    });
  }

  async #asTaken(document: RevisionWithAttachments, signal: AbortSignal): Promise<RevisionWithAttachments> {
    if (!document.attachments.some(isPacked)) return document;
    this.#knowsPacked ??= await this.#isCouch(signal);
    return this.#knowsPacked ? document : withPlainAttachments(document);
  }

  /** Whether the server is a CouchDB or says that it is like one; unknown is no. */
  async #isCouch(signal: AbortSignal): Promise<boolean> {
    try {
      const welcome = await this.client.json({ method: 'GET', path: '../', signal });
      return typeof welcome === 'object' && welcome !== null && 'couchdb' in welcome;
    } catch (error) {
      if (meaningOf(error) === 'passing') throw error;
      return false;
    }
  }

  async ensureFullCommit(signal: AbortSignal): Promise<string> {
    try {
      const answer = await this.client.json({
        method: 'POST',
        path: '_ensure_full_commit',
        body: '',
        signal,
      });
      const { instance_start_time: start } = asObject(answer);
      return typeof start === 'string' ? start : '0';
    } catch (error) {
      if (!(error instanceof CouchError) || !UNKNOWN_PATH.has(error.status)) throw error;
      // A server that does not know it, or no database any more.
      return (await this.info(signal)).instanceStartTime;
    }
  }

  /** Its connections are the dispatcher's. */
  async close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Whether a CouchDB says that it has no such thing: what stands before it may not find the CouchDB. */
export const isMissing = (error: unknown): boolean =>
  error instanceof CouchError && error.status === 404 && error.error === 'not_found';

/** Whether it is one document that a server does not have. */
const isGone = (error: unknown): boolean =>
  error instanceof CouchError &&
  error.status === 404 &&
  (error.reason === 'missing' || error.reason === 'deleted');

/** @throws PeerUnreachable */
function asObject(value: unknown): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new PeerUnreachable('the answer is no object');
  return value as JsonObject;
}

/** @throws PeerUnreachable */
function asStrings(value: unknown): readonly string[] {
  if (!Array.isArray(value) || !value.every((one) => typeof one === 'string'))
    throw new PeerUnreachable('the answer holds no list of revisions');
  return value;
}

const asParameter = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));

const STATUS: Readonly<Record<string, number>> = {
  forbidden: 403,
  unauthorized: 401,
  compilation_error: 400,
  invalid_design_doc: 400,
  doc_validation: 400,
  illegal_docid: 400,
  missing_stub: 412,
  document_too_large: 413,
  attachment_too_large: 413,
};

/** What `_bulk_docs` says of one document, with the status that it would have alone. */
function asError(error: unknown, reason: unknown): CouchError {
  const kind = brief(asParameter(error));
  return new CouchError(STATUS[kind] ?? 500, kind, brief(asParameter(reason ?? '')));
}

const unless =
  (status: number) =>
  (error: unknown): undefined => {
    if (!(error instanceof CouchError) || error.status !== status) throw error;
  };
