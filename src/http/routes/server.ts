import type { AddResource } from './index.js';
import { badRequest, notFound } from '../../errors.js';
import { etagOf, matches } from '../etag.js';
import type { Exchange } from '../exchange.js';
import { integer } from '../query.js';
import { json, onServer } from '../resource.js';
import { COUCHDB_VERSION } from '../server.js';

/** The only node there is, under the name that CouchDB gives a server that is no cluster. */
export const NODE = 'nonode@nohost';

export function serverRoutes(add: AddResource): void {
  add({
    path: '/',
    allow: 'GET,HEAD',
    methods: { GET: onServer('anyone', welcome) },
    other: onServer('anyone'),
  });
  add({
    path: '/_up',
    allow: 'GET,HEAD',
    methods: { GET: onServer('anyone', up) },
    other: onServer('anyone'),
  });
  add({
    path: '/_uuids',
    allow: 'GET',
    methods: { GET: onServer('anyone', uuids) },
    other: onServer('anyone'),
  });
  add({
    path: '/_active_tasks',
    allow: 'GET,HEAD',
    methods: { GET: onServer('serverAdmin', activeTasks) },
    other: onServer('anyone'),
  });
  add({
    path: '/_membership',
    allow: 'GET',
    methods: { GET: onServer('serverAdmin', membership) },
    other: onServer('serverAdmin'),
  });
  add({
    path: '/_reload_query_servers',
    allow: 'POST',
    methods: { POST: json(onServer('serverAdmin', reloadFunctions)) },
    other: onServer('serverAdmin'),
  });
  pageRoutes(add);
}

function reloadFunctions(exchange: Exchange): void {
  exchange.server.sandbox.reset();
  exchange.json(200, '{"ok":true}');
}

/** Where CouchDB keeps its web interface. */
function pageRoutes(add: AddResource): void {
  add({
    path: '/_utils',
    allow: 'GET,HEAD',
    methods: { GET: onServer('anyone', utils) },
    other: onServer('serverAdmin'),
  });
  for (const path of ['/_utils/*', '/favicon.ico']) {
    add({
      path,
      allow: 'GET,HEAD',
      methods: { GET: onServer('anyone', noPage) },
      other: onServer(path === '/favicon.ico' ? 'anyone' : 'serverAdmin'),
    });
  }
}

/** What a CouchDB calls them; tools such as Fauxton offer what is named here. */
const FEATURES = ['partitioned', 'quickjs', 'scheduler'];

function welcome(exchange: Exchange): void {
  const { uuid, version } = exchange.server.identity;
  const vendor = { name: 'Causeway', version };
  const identity = { version: COUCHDB_VERSION, git_sha: version, uuid, features: FEATURES, vendor };
  exchange.json(200, JSON.stringify({ couchdb: 'Welcome', ...identity }));
}

/** What a load balancer is told that shall send nobody; undefined where it may. */
export function maintenanceOf({ server }: Exchange): string | undefined {
  const { maintenance } = server.config;
  if (maintenance === 'off') return undefined;
  return `{"status":"${maintenance === 'nolb' ? 'nolb' : 'maintenance_mode'}"}`;
}

function up(exchange: Exchange): void {
  const maintenance = maintenanceOf(exchange);
  if (maintenance !== undefined) exchange.json(404, maintenance);
  else exchange.json(200, '{"status":"ok","seeds":{}}');
}

/** Answers that must not be taken from a cache. */
const UNCACHED = [
  'Cache-Control',
  'no-cache',
  'Pragma',
  'no-cache',
  'Expires',
  'Mon, 01 Jan 1990 00:00:00 GMT',
] as const;

function uuids(exchange: Exchange): void {
  const count = integer(exchange.parameter('count') ?? '1');
  if (count === undefined || count < 0) throw badRequest('count must be a positive integer');
  if (count > exchange.server.config.limits.uuidsMaxCount) throw badRequest('count parameter too large');
  const made = Array.from({ length: count }, () => exchange.server.uuids.next());
  const body = JSON.stringify({ uuids: made });
  const etag = etagOf(body);
  if (matches(exchange.header('if-none-match'), etag)) exchange.empty(304, ['ETag', etag]);
  else exchange.json(200, body, [...UNCACHED, 'ETag', etag]);
}

function activeTasks(exchange: Exchange): void {
  const tasks = exchange.server.tasks.list();
  exchange.json(200, JSON.stringify(tasks.map((task) => ({ node: NODE, ...task }))));
}

function membership(exchange: Exchange): void {
  exchange.json(200, JSON.stringify({ all_nodes: [NODE], cluster_nodes: [NODE] }));
}

function utils(exchange: Exchange): void {
  if (exchange.path.endsWith('/')) noPage();
  else exchange.redirect(301, `${exchange.path}/`);
}

function noPage(): never {
  throw notFound('missing');
}
