import { NODE } from './server.js';
import type { AddResource } from './index.js';
import { CouchError, notImplemented } from '../../errors.js';
import type { Right } from '../../auth/rights.js';
import { requireColon } from '../../store/partitions.js';
import type { Database } from '../../store/types/database.js';
import { designDocument } from '../design-functions.js';
import type { Exchange } from '../exchange.js';
import { json, onDatabase, onServer, type DatabaseHandler, type Operation } from '../resource.js';

/** What CouchDB has and this version has not: refused for that reason once everything else has been checked. */
export function unsupportedRoutes(add: AddResource): void {
  serverWide(add);
  temporaryViews(add);
  designFunctions(add);
  clusters(add);
}

const refuse = (what: string): (() => never) => {
  return () => {
    throw notImplemented(`${what} not supported by this version of Causeway.`);
  };
};

// ---- the server -----------------------------------------------------------------------------------------------

function serverWide(add: AddResource): void {
  const other = onServer('serverAdmin');
  const server = (path: string, allow: string, methods: Record<string, Operation>): void =>
    add({ path, allow, methods, other });

  for (const path of ['/_reshard', '/_reshard/*']) {
    server(path, 'GET,HEAD', { GET: onServer('serverAdmin', refuse('Resharding is')) });
  }
}

// ---- databases ------------------------------------------------------------------------------------------------

function database(
  add: AddResource,
  path: string,
  allow: string,
  methods: Record<string, DatabaseHandler>,
  right: Right = 'member',
): void {
  const operations = Object.entries(methods).map(([method, run]) => {
    const operation = onDatabase(right, run);
    return [method, method === 'POST' ? json(operation) : operation] as const;
  });
  add({ path: `/:db/${path}`, allow, methods: Object.fromEntries(operations), other: onDatabase(right) });
}

/** CouchDB has had none since 2.0, and says so whatever the method. */
function temporaryViews(add: AddResource): void {
  const gone = onDatabase('member', () => {
    throw new CouchError(410, 'gone', 'Temporary views are not supported in CouchDB');
  });
  add({ path: '/:db/_temp_view', allow: '', methods: {}, other: gone });
}

/** What a design document can be asked to do; each needs the document to be there. */
const DESIGN_ACTIONS = [
  { path: '_search/*', allow: 'GET,POST', methods: ['GET', 'POST'], what: 'Full-text search is' },
  { path: '_nouveau/*', allow: 'GET,POST', methods: ['GET', 'POST'], what: 'Full-text search is' },
] as const;

function designFunctions(add: AddResource): void {
  for (const { path, allow, methods, what } of DESIGN_ACTIONS) {
    const run = (exchange: Exchange, db: Database): void => {
      designDocument(db, exchange.param('name'));
      refuse(what)();
    };
    const operations = methods.map((method) => [method, onDatabase('member', run)] as const);
    add({
      path: `/:db/_design/:name/${path}`,
      allow,
      methods: Object.fromEntries(operations),
      other: onDatabase('member'),
    });
  }
}

/** Every database is one shard on the only node. */
function clusters(add: AddResource): void {
  const range = '00000000-ffffffff';
  database(add, '_shards', 'GET', {
    GET: (exchange) => exchange.json(200, JSON.stringify({ shards: { [range]: [NODE] } })),
  });
  database(add, '_shards/:docid', 'GET', {
    GET: (exchange, db) => {
      requireColon(db, exchange.param('docid'));
      exchange.json(200, JSON.stringify({ range, nodes: [NODE] }));
    },
  });
  add({
    path: '/:db/_sync_shards',
    allow: 'POST',
    methods: { POST: onDatabase('serverAdmin', (exchange) => exchange.json(202, '{"ok":true}')) },
    other: onDatabase('serverAdmin'),
  });
}
