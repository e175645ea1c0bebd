import type { AddResource } from './index.js';
import { namedFunction } from '../../config/merge-schema.js';
import { MergeOptionsError } from '../../conflicts/functions/builtin.js';
import { conflictGiven, preview, previewOf } from '../../conflicts/preview.js';
import { type Merge, sourceOf } from '../../conflicts/rules.js';
import { CageUnavailable } from '../../conflicts/sources/cage.js';
import { badRequest, notFound, unavailable } from '../../errors.js';
import { membersInTurns } from '../../json/text.js';
import type { Database } from '../../store/types/database.js';
import type { Exchange } from '../exchange.js';
import { json, onDatabase } from '../resource.js';
import { checkWrite } from '../writes.js';
import { CONFLICTS, NOT_KEPT } from './conflicts.js';

/** What merge functions would make of a document in conflict. Nothing is written. */
export function conflictPreviewRoutes(add: AddResource): void {
  add({
    path: `${CONFLICTS}/:docid/preview`,
    allow: 'GET,HEAD,POST',
    methods: {
      GET: onDatabase('member', given),
      POST: json(onDatabase('member', tried)),
    },
    other: onDatabase('member'),
  });
}

/** What a function would be given, for those that run elsewhere. */
async function given(exchange: Exchange, db: Database): Promise<void> {
  const id = await writable(exchange, db);
  exchange.json(200, await conflictGiven(db, id), NOT_KEPT);
}

/** By a function that is built in or of a design document, or by what one that ran elsewhere returned. */
async function tried(exchange: Exchange, db: Database): Promise<void> {
  const members = await exchange.bodyMembers();
  const id = await writable(exchange, db);
  const resolution = members.get('resolution');
  try {
    const text =
      resolution === undefined
        ? await preview(db, id, await functionOf(exchange, db, members))
        : await previewOf(db, id, resolution);
    exchange.json(200, text, NOT_KEPT);
  } catch (error) {
    if (error instanceof CageUnavailable) throw unavailable(error.message);
    throw error;
  }
}

/** Characters of a function's name and options: how long it takes to look for a field's rule depends on them. */
const LONGEST = 1 << 14;

/** A path of a module, or its text, is nothing that a request may name. */
async function functionOf(
  exchange: Exchange,
  db: Database,
  members: ReadonlyMap<string, string>,
): Promise<Merge> {
  const length = Array.from(members, ([name, text]) => name.length + text.length).reduce((a, b) => a + b, 0);
  if (length > LONGEST) throw badRequest('The function and its options are too long to be tried.');
  const value = Object.fromEntries(
    Array.from(members, ([name, text]) => [name, JSON.parse(text) as unknown]),
  );
  const parsed = namedFunction.safeParse(value);
  if (!parsed.success) throw badRequest('The body names a function, a design function, or a resolution.');
  try {
    const source = sourceOf(parsed.data);
    if (source === undefined) throw badRequest('There is nothing to see of keep.');
    if ('kind' in source && source.kind === 'design') await requireFunction(db, source);
    return exchange.server.mergeFunctions.mergeIn(db, source);
  } catch (error) {
    if (error instanceof MergeOptionsError) throw badRequest(error.message);
    throw error;
  }
}

/** Functions that were asked for are remembered: only those that there are. @throws CouchError 404 */
async function requireFunction(db: Database, { id, name }: { id: string; name: string }): Promise<void> {
  const record = db.get(id);
  const text = record?.deleted === false ? db.read(record, record.winner) : undefined;
  const merges = text === undefined ? undefined : (await membersInTurns(text))?.get('merges');
  const functions = merges === undefined ? undefined : await membersInTurns(merges);
  if (functions?.has(name) !== true) throw notFound(`${id} has no merge function ${name}.`);
}

/** @returns the id of a document that whoever asks may write */
async function writable(exchange: Exchange, db: Database): Promise<string> {
  const record = db.get(exchange.param('docid'));
  if (record === undefined) throw notFound();
  await checkWrite(exchange, db, { id: record.id, deleted: true, body: '' });
  return record.id;
}
