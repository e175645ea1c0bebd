import type { AddResource } from './index.js';
import { type Chosen, resolveByHand } from '../../conflicts/by-hand.js';
import { readChoice } from '../../conflicts/choice.js';
import { standingOf } from '../../conflicts/standing.js';
import { notFound } from '../../errors.js';
import type { Database } from '../../store/types/database.js';
import type { DocumentRecord } from '../../store/types/records.js';
import type { Exchange } from '../exchange.js';
import { json, onDatabase } from '../resource.js';
import { checkWrite } from '../writes.js';
import { CONFLICTS, NOT_KEPT, ruleOf } from './conflicts.js';

const ONE = `${CONFLICTS}/:docid`;

/** One document in conflict: what there is to be seen of it, and how it is resolved by hand. */
export function conflictRoutes(add: AddResource): void {
  const other = onDatabase('member');
  add({ path: ONE, allow: 'GET,HEAD', methods: { GET: onDatabase('member', show) }, other });
  add({
    path: `${ONE}/resolve`,
    allow: 'POST',
    methods: { POST: json(onDatabase('member', resolve)) },
    other,
  });
}

/** @throws CouchError 404 */
function recordOf(exchange: Exchange, db: Database): DocumentRecord {
  const record = db.get(exchange.param('docid'));
  if (record === undefined) throw notFound();
  return record;
}

/** Also of a document that is in no conflict: then its `state` is null. */
async function show(exchange: Exchange, db: Database): Promise<void> {
  const record = recordOf(exchange, db);
  const { id, seq, winner } = record;
  const row = db.conflicts.get(id);
  const head = {
    id,
    seq: db.token(seq),
    winner,
    ...(row === undefined
      ? { state: null, reason: null, paths: [], since: null }
      : standingOf(row, ruleOf(exchange, db))),
    journal: await db.journal.numbersOf(id),
  };
  const inspected = await exchange.server.inspector.inspect(db, record, exchange.departure);
  exchange.json(200, `${JSON.stringify(head).slice(0, -1)},${inspected}}`, NOT_KEPT);
}

async function resolve(exchange: Exchange, db: Database): Promise<void> {
  const members = await exchange.bodyMembers();
  const { id } = recordOf(exchange, db);
  const choice = await readChoice(members, id, exchange.server.documents);
  await checkWrite(exchange, db, { id, ...written(choice.chosen) });
  const { rev, entry } = await resolveByHand(db, { id, ...choice, by: exchange.user.name });
  exchange.json(201, JSON.stringify({ ok: true, id, rev, journal: entry }));
}

/** What of a document is there to be judged before its leaves are read: these were written before. */
const written = (chosen: Chosen): { readonly deleted: boolean; readonly body: string } =>
  chosen.kind === 'merge' ? chosen : { deleted: true, body: '' };
