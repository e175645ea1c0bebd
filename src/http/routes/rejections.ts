import type { AddResource } from './index.js';
import type { Rejection } from '../../rejections/rejection.js';
import type { Exchange } from '../exchange.js';
import { pageOf } from '../page.js';
import { json, onServer } from '../resource.js';

/** What targets of replications refused for good: for those whose replications they are, and server admins. */
export function rejectionRoutes(add: AddResource): void {
  const other = onServer('authenticated');
  const list = '/_gateway/replications/:id/rejections';
  add({
    path: '/_gateway/replications',
    allow: 'GET,HEAD',
    methods: { GET: onServer('authenticated', lists) },
    other,
  });
  add({
    path: list,
    allow: 'DELETE,GET,HEAD',
    methods: { GET: onServer('authenticated', rejections), DELETE: onServer('authenticated', clear) },
    other,
  });
  add({
    path: `${list}/:doc`,
    allow: 'DELETE',
    methods: { DELETE: onServer('authenticated', drop) },
    other,
  });
  add({
    path: `${list}/:doc/retry`,
    allow: 'POST',
    methods: { POST: json(onServer('authenticated', retry)) },
    other,
  });
}

async function lists(exchange: Exchange): Promise<void> {
  const { start, limit } = pageOf(exchange);
  const { total, rows } = await exchange.server.replicator.rejected.lists(exchange.user, start, limit);
  const replications = rows.map(({ name, owner, about, count, unlisted, updated }) => ({
    id: name,
    owner,
    ...about,
    rejections: count,
    unlisted,
    updated: new Date(updated).toISOString(),
  }));
  exchange.json(200, JSON.stringify({ total, start, replications }));
}

async function rejections(exchange: Exchange): Promise<void> {
  const { start, limit } = pageOf(exchange);
  const { rejected } = exchange.server.replicator;
  const { total, unlisted, rows } = await rejected.page(exchange.param('id'), exchange.user, start, limit);
  exchange.json(200, JSON.stringify({ total, unlisted, start, rejections: rows.map(shown) }));
}

async function clear(exchange: Exchange): Promise<void> {
  await exchange.server.replicator.rejected.clear(exchange.param('id'), exchange.user);
  exchange.json(200, '{"ok":true}');
}

async function drop(exchange: Exchange): Promise<void> {
  await exchange.server.replicator.rejected.drop(exchange.param('id'), exchange.param('doc'), exchange.user);
  exchange.json(200, '{"ok":true}');
}

/** Answers when it was tried: `ok` says whether all of the document is written now. */
async function retry(exchange: Exchange): Promise<void> {
  const { replicator } = exchange.server;
  const left = await replicator.retry(exchange.param('id'), exchange.param('doc'), exchange.user);
  exchange.json(200, JSON.stringify({ ok: left.length === 0, rejections: left.map(shown) }));
}

/** A rejection as it is shown: moments as texts. */
export const shown = ({ first, last, ...one }: Rejection): object => ({
  ...one,
  first: new Date(first).toISOString(),
  last: new Date(last).toISOString(),
});
