import { inOrder } from './open-revs.js';
import type { AddResource } from './index.js';
import { badRequest } from '../../errors.js';
import { parseJson } from '../../json/text.js';
import { requireColon } from '../../store/partitions.js';
import type { Database, PurgeRequest } from '../../store/types/database.js';
import { parseRevs } from '../document-query.js';
import type { Exchange } from '../exchange.js';
import { json, onDatabase } from '../resource.js';
import { sendStream } from '../stream.js';

/** What is purged is gone as if it had never been: neither deleted nor told to anybody. */
export function purgeRoutes(add: AddResource): void {
  add({
    path: '/:db/_purge',
    allow: 'POST',
    methods: { POST: json(onDatabase('serverAdmin', purge)) },
    other: onDatabase('serverAdmin'),
  });
  add({
    path: '/:db/_purged_infos',
    allow: 'GET',
    methods: { GET: onDatabase('member', (exchange, db) => sendStream(exchange, () => infos(db))) },
    other: onDatabase('member'),
  });
}

async function purge(exchange: Exchange, db: Database): Promise<void> {
  const requests = requestsOf(exchange, await exchange.bodyMembers());
  for (const id of requests.keys()) requireColon(db, id);
  const body = JSON.stringify(Object.fromEntries(requests));
  const { control } = exchange.server.mirrors;
  const purged = await control.purge(db.name, body, () => db.purge(requests));
  const rows = Array.from(purged, ([id, revs]) => `${JSON.stringify(id)}:${JSON.stringify(revs)}`);
  exchange.json(201, `{"purge_seq":null,"purged":{${rows.join(',')}}}`);
}

function requestsOf(
  exchange: Exchange,
  body: ReadonlyMap<string, string>,
): ReadonlyMap<string, readonly string[]> {
  const { purgeMaxDocumentIdNumber, purgeMaxRevisionsNumber } = exchange.server.config.limits;
  const requests = new Map<string, readonly string[]>();
  let revisions = 0;
  for (const [id, text] of body) {
    const revs = inOrder(parseRevs(parseJson(text)));
    revisions += revs.length;
    requests.set(id, revs);
  }
  if (requests.size > purgeMaxDocumentIdNumber) throw badRequest('Exceeded maximum number of documents.');
  if (revisions > purgeMaxRevisionsNumber) throw badRequest('Exceeded maximum number of revisions.');
  return requests;
}

/** Each request once. */
async function* infos(db: Database): AsyncGenerator<string> {
  const told = new Set<string>();
  let separator = '{"purged_infos":[';
  for await (const page of db.purges()) {
    let chunk = '';
    for (const { id, revs } of page satisfies readonly PurgeRequest[]) {
      const row = JSON.stringify({ id, revs });
      if (told.has(row)) continue;
      told.add(row);
      chunk += separator + row;
      separator = ',';
    }
    yield chunk;
  }
  yield told.size === 0 ? `${separator}]}\n` : ']}\n';
}
