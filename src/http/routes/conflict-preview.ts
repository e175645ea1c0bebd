import type { AddResource } from './index.js';
import { namedFunction } from '../../config/merge-schema.js';
import { MergeOptionsError } from '../../conflicts/functions/builtin.js';
import { conflictGiven, preview, previewOf } from '../../conflicts/preview.js';
import { type Merge, sourceOf } from '../../conflicts/rules.js';
import { CageUnavailable } from '../../conflicts/sources/cage.js';
import { badRequest, notFound, unavailable } from '../../errors.js';
import type { Database } from '../../store/types.js';
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
    const { timeout } = exchange.server.config.conflicts;
    const text =
      resolution === undefined
        ? await preview(db, id, functionOf(exchange, db, members), timeout)
        : await previewOf(db, id, resolution);
    exchange.json(200, text, NOT_KEPT);
  } catch (error) {
    if (error instanceof CageUnavailable) throw unavailable(error.message);
    throw error;
  }
}

/** A path of a module, or its text, is nothing that a request may name. */
function functionOf(exchange: Exchange, db: Database, members: ReadonlyMap<string, string>): Merge {
  const value = Object.fromEntries(
    Array.from(members, ([name, text]) => [name, JSON.parse(text) as unknown]),
  );
  const parsed = namedFunction.safeParse(value);
  if (!parsed.success) throw badRequest('The body names a function, a design function, or a resolution.');
  try {
    const source = sourceOf(parsed.data);
    if (source === undefined) throw badRequest('There is nothing to see of keep.');
    return exchange.server.foreign.mergeIn(db, source);
  } catch (error) {
    if (error instanceof MergeOptionsError) throw badRequest(error.message);
    throw error;
  }
}

/** @returns the id of a document that whoever asks may write */
async function writable(exchange: Exchange, db: Database): Promise<string> {
  const record = db.get(exchange.param('docid'));
  if (record === undefined) throw notFound();
  await checkWrite(exchange, db, { id: record.id, deleted: true, body: '' });
  return record.id;
}
