import type { AddResource } from './index.js';
import { conflictsInShort } from '../../conflicts/counts.js';
import { notFound } from '../../errors.js';
import type { Exchange } from '../exchange.js';
import { mirrorsInShort } from '../../upstream/mirrors/shown.js';
import { onServer } from '../resource.js';
import { ruleOf } from './conflicts.js';
import { maintenanceOf } from './server.js';

/** What is ours alone, and no CouchDB has. */
export function ownRoutes(add: AddResource): void {
  for (const [path, run] of [
    ['/_gateway/live', live],
    ['/_gateway/ready', ready],
  ] as const)
    add({ path, allow: 'GET,HEAD', methods: { GET: onServer('anyone', run) }, other: onServer('anyone') });
  add({
    path: '/_gateway/status',
    allow: 'GET,HEAD',
    methods: { GET: onServer('metrics', status) },
    other: onServer('metrics'),
  });
  for (const path of ['/_gateway', '/_gateway/*'])
    add({ path, allow: '', methods: {}, other: onServer('authenticated', nothing) });
}

/** Else it would be a database of that name that is not there. */
function nothing(): never {
  throw notFound('There is nothing at this path below /_gateway.');
}

const NOT_KEPT = ['Cache-Control', 'no-cache'];

/** The server listens once its store is open, and refuses everything once it is about to stop. */
function live(exchange: Exchange): void {
  exchange.json(200, '{"status":"ok"}', NOT_KEPT);
}

function ready(exchange: Exchange): void {
  const maintenance = maintenanceOf(exchange);
  if (maintenance !== undefined) exchange.json(503, maintenance, NOT_KEPT);
  else live(exchange);
}

async function status(exchange: Exchange): Promise<void> {
  const { identity, upstream, mirrors, databases, mergeFunctions, conflicts } = exchange.server;
  const { uuid, version } = identity;
  const body = {
    version,
    uuid,
    uptime: Math.floor(process.uptime()),
    databases: { local: databases.list().filter((name) => mirrors.isLocal(name)).length },
    upstream: upstream.status() ?? null,
    mirrors: upstream.isThere ? mirrorsInShort(mirrors) : null,
    conflicts: {
      ...(await conflictsInShort(databases, (db) => ruleOf(exchange, db))),
      purged: conflicts.purgedInAll(),
      refused_functions: mergeFunctions.refusals(),
    },
  };
  exchange.json(200, JSON.stringify(body), NOT_KEPT);
}
