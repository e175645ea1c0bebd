import type { AddResource } from './index.js';
import { isDatabaseAdmin, securityOf } from '../../auth/security.js';
import { USERS } from '../../auth/users/ids.js';
import { conflict, CouchError, mangoError, notFound } from '../../errors.js';
import { erlangTerm } from '../../json/erlang.js';
import { designId, parseIndex, withIndex, withoutIndexes } from '../../find/design.js';
import { explain } from '../../find/explain.js';
import { find } from '../../find/find.js';
import { indexesOf, indexJson } from '../../find/indexes.js';
import { onlyKeys, parseFind, positive, required, useIndex, valueOf } from '../../find/options.js';
import { planFind, planToRun } from '../../find/plan.js';
import type { FindQuery, Index } from '../../find/types.js';
import { isReplicatorDatabase } from '../../replicator/documents.js';
import { editOf, parseDocument, validateDocid } from '../../store/document.js';
import type { Database } from '../../store/types/database.js';
import type { AttachmentEdit } from '../../store/types/edits.js';
import { shownText, STUBS } from '../../store/attachments/text.js';
import { errorBody, methodNotAllowed } from '../errors.js';
import type { Exchange } from '../exchange.js';
import { json, onDatabase } from '../resource.js';
import { sendStream } from '../stream.js';
import { decodeSegment } from '../url.js';
import { checkWrite, writeOne } from '../writes.js';

/** Mango: queries, and the indexes for them. */
export function findRoutes(add: AddResource): void {
  add({
    path: '/:db/_find',
    allow: 'POST',
    methods: { POST: json(onDatabase('member', postFind)) },
    other: onDatabase('member'),
  });
  add({
    path: '/:db/_explain',
    allow: 'POST',
    methods: { POST: json(onDatabase('member', postExplain)) },
    other: onDatabase('member'),
  });
  add({
    path: '/:db/_index',
    allow: 'GET,POST',
    methods: { GET: onDatabase('member', listIndexes), POST: json(onDatabase('member', makeIndex)) },
    other: onDatabase('member'),
  });
  add({
    path: '/:db/_index/_bulk_delete',
    allow: 'POST',
    methods: { POST: json(onDatabase('member', bulkDelete)) },
    other: onDatabase('member'),
  });
  add({
    path: '/:db/_index/:name/*',
    allow: 'DELETE',
    methods: { DELETE: onDatabase('member', deleteIndex) },
    other: onDatabase('member', refuseMethod),
  });
}

// ---- queries --------------------------------------------------------------------------------------------------

async function postFind(exchange: Exchange, db: Database): Promise<void> {
  const query = await findQuery(exchange, db);
  exchange.forgetBody();
  const plan = planToRun(await usableIndexes(exchange, db), query, db.isPartitioned);
  const source = {
    db,
    indexes: exchange.server.views,
    show: (stored: string, extras: Parameters<typeof shownText>[1]) => shownText(stored, extras, STUBS),
  };
  await sendStream(exchange, (signal) => find(source, plan, query, signal));
}

async function postExplain(exchange: Exchange, db: Database): Promise<void> {
  const query = await findQuery(exchange, db);
  const plan = planFind(await usableIndexes(exchange, db), query);
  exchange.json(200, JSON.stringify(explain(db, plan, query)));
}

const findQuery = async (exchange: Exchange, db: Database): Promise<FindQuery> =>
  parseFind(await exchange.bodyMembers(), exchange.parameter('partition'), db.isPartitioned);

/**
 * Indexes have all of each document. Whoever may see a part of it alone is not answered from them: what is in an index
 * would show in bookmarks, counts and fields that need no document.
 */
async function usableIndexes(exchange: Exchange, db: Database): Promise<readonly Index[]> {
  const indexes = await shownIndexes(exchange, db);
  return seesAll(exchange, db) ? indexes : indexes.filter(({ type }) => type === 'special');
}

const shownIndexes = (exchange: Exchange, db: Database): Promise<readonly Index[]> =>
  indexesOf(db, seesAll(exchange, db));

function seesAll({ user }: Exchange, db: Database): boolean {
  const isPartlyHidden = db.name === USERS || isReplicatorDatabase(db.name);
  return !isPartlyHidden || isDatabaseAdmin(user, securityOf(db.security));
}

// ---- indexes --------------------------------------------------------------------------------------------------

async function listIndexes(exchange: Exchange, db: Database): Promise<void> {
  const indexes = await shownIndexes(exchange, db);
  const limit = listParameter(exchange, 'limit', 1) ?? indexes.length;
  const skip = listParameter(exchange, 'skip', 0) ?? 0;
  const shown = indexes.slice(skip, skip + limit).map(indexJson);
  exchange.json(200, JSON.stringify({ total_rows: indexes.length, indexes: shown }));
}

function listParameter(exchange: Exchange, name: string, least: number): number | undefined {
  const text = exchange.parameter(name);
  if (text === undefined) return undefined;
  const value = /^[+-]?[0-9]+$/.test(text) ? Number(text) : -1;
  if (value >= least) return value;
  throw mangoError('invalid_list_index_params', 'Index parameter ranges: limit > 1, skip > 0');
}

async function makeIndex(exchange: Exchange, db: Database): Promise<void> {
  const wanted = parseIndex(await exchange.bodyMembers());
  validateDocid(wanted.ddoc, exchange.server.documents.maxIdLength);
  const isNew = await changeDesign(exchange, db, wanted.ddoc, (before) => ({
    body: withIndex(before, wanted),
    isGone: false,
  }));
  const result = isNew ? 'created' : 'exists';
  exchange.json(200, JSON.stringify({ result, id: wanted.ddoc, name: wanted.name }));
}

async function deleteIndex(exchange: Exchange, db: Database): Promise<void> {
  const path = indexPath(exchange);
  if (path === undefined) throw notFound();
  await removeIndexes(exchange, db, path.ddoc, (type, name) => type === path.type && name === path.name);
  exchange.json(200, '{"ok":true}');
}

function refuseMethod(exchange: Exchange): void {
  if (indexPath(exchange) === undefined) throw notFound();
  exchange.json(405, errorBody(methodNotAllowed('DELETE')), ['Allow', 'DELETE']);
}

/** What the path of an index names; the id of a design document may have its slash encoded, or its prefix left out. */
function indexPath({ url }: Exchange): { ddoc: string; type: string; name: string } | undefined {
  const [path = ''] = url.split('?', 1);
  const [, , , ...parts] = path.split('/').map((part) => decodeSegment(part) ?? part);
  const [ddoc, type, name, ...more] = parts[0] === '_design' ? parts.slice(1) : parts;
  if (ddoc === undefined || type === undefined || name === undefined || more.length > 0) return undefined;
  return { ddoc: designId(ddoc), type, name };
}

const BULK_KEYS: ReadonlySet<string> = new Set(['docids', 'w']);

async function bulkDelete(exchange: Exchange, db: Database): Promise<void> {
  const body = await exchange.bodyMembers();
  const ids = designIds(required(body, 'docids'));
  if (body.has('w')) positive(valueOf(body, 'w'));
  onlyKeys(body.keys(), BULK_KEYS);
  const success: object[] = [];
  const fail: object[] = [];
  for (const id of ids) {
    try {
      await removeIndexes(exchange, db, id, () => true);
      success.unshift({ id, ok: true });
    } catch (error) {
      if (!(error instanceof CouchError) || error.status >= 500) throw error;
      fail.unshift({ id, error: error.error });
    }
  }
  exchange.json(200, JSON.stringify({ success, fail }));
}

function designIds(value: unknown): readonly string[] {
  if (!Array.isArray(value) || value.includes(null)) {
    const reason = `Bulk Delete requires an array of non-null docids. Docids: ${erlangTerm(value)}`;
    throw mangoError('invalid_bulk_docs', reason);
  }
  return value.map((id: unknown) => {
    if (typeof id !== 'string')
      throw mangoError('invalid_index_name', `Invalid index name: ${erlangTerm(id)}`);
    useIndex(id);
    return designId(id);
  });
}

/** Takes indexes out of a design document, and the document away with the last of them. @throws CouchError 404 */
async function removeIndexes(
  exchange: Exchange,
  db: Database,
  ddoc: string,
  isMeant: (type: string, name: string) => boolean,
): Promise<void> {
  const indexes = await shownIndexes(exchange, db);
  const names = indexes
    .filter((index) => index.ddoc === ddoc && isMeant(index.type, index.name))
    .map(({ name }) => name);
  if (names.length === 0) throw notFound();
  await changeDesign(exchange, db, ddoc, (before) => {
    if (before === undefined) throw notFound();
    const body = withoutIndexes(before, names);
    return { body: body ?? '', isGone: body === undefined };
  });
}

// ---- design documents -----------------------------------------------------------------------------------------

/** What is to become of a design document: its members without braces, undefined where it may stay as it is. */
interface Changed {
  readonly body: string | undefined;
  readonly isGone: boolean;
}

/** Whoever changes a design document at the same moment is tried to be followed so often. */
const ATTEMPTS = 10;

/** Changes a design document, or makes one. @returns whether there was anything to change */
async function changeDesign(
  exchange: Exchange,
  db: Database,
  id: string,
  change: (before: string | undefined) => Changed,
): Promise<boolean> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const record = db.get(id);
    const text = record === undefined || record.deleted ? undefined : db.read(record, record.winner);
    const before = text === undefined ? undefined : editOf(text, 'stub');
    const { body, isGone } = change(before?.body);
    if (body === undefined) return false;
    try {
      await writeDesign(exchange, db, id, record?.winner, body, isGone ? 'deleted' : before?.attachments);
      return true;
    } catch (error) {
      if (!(error instanceof CouchError) || error.status !== 409) throw error;
    }
  }
  throw conflict();
}

async function writeDesign(
  exchange: Exchange,
  db: Database,
  id: string,
  rev: string | undefined,
  body: string,
  attachments: ReadonlyMap<string, AttachmentEdit> | 'deleted' | undefined,
): Promise<void> {
  const deleted = attachments === 'deleted';
  const members = [
    ...(rev === undefined ? [] : [`"_rev":${JSON.stringify(rev)}`]),
    ...(deleted ? ['"_deleted":true'] : []),
    ...(body === '' ? [] : [body]),
  ];
  const options = { ...exchange.server.documents, newEdits: true, id };
  const parsed = await parseDocument(`{${members.join(',')}}`, options);
  const kept = deleted || attachments === undefined ? {} : { attachments };
  const edit = { id, revisions: parsed.revisions, deleted, body: parsed.body, ...kept };
  await checkWrite(exchange, db, edit);
  await writeOne(db, edit, true);
}
