import type { AddResource } from './index.js';
import { badRequest, notFound } from '../../errors.js';
import { requirePartition } from '../../store/partitions.js';
import type { Database } from '../../store/types/database.js';
import type { Exchange } from '../exchange.js';
import { onDatabase } from '../resource.js';

/** What may be asked of one partition: what stands in the path behind its name. */
const INSIDE = /^(_all_docs(\/.*)?|_find|_explain|_index(\/.*)?|_design\/[^/]+\/_[^/]+(\/.*)?)$/;

export function partitionRoutes(add: AddResource): void {
  const allow = 'GET';
  add({ path: '/:db/_partition', allow, methods: {}, other: onDatabase('member', refuse) });
  add({
    path: '/:db/_partition/:partition',
    allow,
    methods: { GET: onDatabase('member', show) },
    other: onDatabase('member'),
  });
  add({ path: '/:db/_partition/:partition/*', allow, methods: {}, other: onDatabase('member', enter) });
}

function refuse(): never {
  throw badRequest('invalid_partition_req');
}

async function show(exchange: Exchange, db: Database): Promise<void> {
  const partition = partitionIn(exchange, db);
  const { docCount, deletedCount, sizes } = await db.partitionInfo(partition);
  exchange.json(
    200,
    JSON.stringify({
      db_name: db.name,
      sizes: { active: sizes.active, external: sizes.external },
      partition,
      doc_count: docCount,
      doc_del_count: deletedCount,
    }),
  );
}

/** The request is the one without the partition in its path, which then is a parameter; it has a right of its own. */
function enter(exchange: Exchange, db: Database): void {
  const partition = partitionIn(exchange, db);
  const given = exchange.parameter('partition');
  if (given !== undefined && given !== partition)
    throw badRequest('Conflicting value for `partition` in query string');
  const { method, headers, url, rawQuery } = exchange;
  const [path = ''] = url.split('?', 1);
  const [, name = '', , , ...parts] = path.split('/');
  const inside = parts.join('/');
  if (!INSIDE.test(inside)) throw notFound('missing');
  const parameter = given === undefined ? [`partition=${encodeURIComponent(partition)}`] : [];
  const query = [...(rawQuery === '' ? [] : [rawQuery]), ...parameter].join('&');
  exchange.rewriting = { method, headers, url: `/${name}/${inside}?${query}` };
}

/** The partition that the path names. @throws CouchError 400 */
function partitionIn(exchange: Exchange, db: Database): string {
  const partition = exchange.param('partition');
  requirePartition(partition);
  if (!db.isPartitioned) throw badRequest('database is not partitioned');
  return partition;
}
