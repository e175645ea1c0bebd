import { living } from './documents.js';
import type { AddResource } from './index.js';
import { MAX_SECURITY_LENGTH, parseSecurity } from '../../auth/security.js';
import { USERS } from '../../auth/users/ids.js';
import { badRequest, forbidden } from '../../errors.js';
import { parseJson } from '../../json/text.js';
import type { Database } from '../../store/types/database.js';
import type { Exchange } from '../exchange.js';
import { json, onDatabase } from '../resource.js';

/** What can be set or started for a database as a whole. */
export function settingsRoutes(add: AddResource): void {
  const member = onDatabase('member');
  add({
    path: '/:db/_security',
    allow: 'PUT,GET',
    methods: {
      GET: onDatabase('member', (exchange, db) => exchange.json(200, db.security)),
      PUT: onDatabase('databaseAdmin', setSecurity),
    },
    other: member,
  });
  add({
    path: '/:db/_revs_limit',
    allow: 'PUT,GET',
    methods: {
      GET: onDatabase('member', (exchange, db) => exchange.json(200, String(db.revsLimit))),
      PUT: onDatabase('databaseAdmin', setRevsLimit),
    },
    other: member,
  });
  add({
    path: '/:db/_purged_infos_limit',
    allow: 'GET,PUT',
    methods: {
      GET: onDatabase('serverAdmin', (exchange, db) => exchange.json(200, String(db.purgedInfosLimit))),
      PUT: onDatabase('serverAdmin', setPurgedInfosLimit),
    },
    other: onDatabase('serverAdmin'),
  });
  add({
    path: '/:db/_ensure_full_commit',
    allow: 'POST',
    methods: { POST: json(onDatabase('member', ensureFullCommit)) },
    other: member,
  });
  maintenanceRoutes(add);
}

function maintenanceRoutes(add: AddResource): void {
  const other = onDatabase('maintainer');
  add({
    path: '/:db/_compact',
    allow: 'POST',
    methods: { POST: json(onDatabase('maintainer', compact)) },
    other,
  });
  add({
    path: '/:db/_compact/:name',
    allow: 'POST',
    methods: { POST: json(onDatabase('maintainer', compactView)) },
    other,
  });
  add({
    path: '/:db/_view_cleanup',
    allow: 'POST',
    methods: { POST: onDatabase('maintainer', cleanUpViews) },
    other,
  });
}

async function setSecurity(exchange: Exchange, db: Database): Promise<void> {
  if (db.name === USERS && !exchange.server.config.users.securityEditable)
    throw forbidden("You can't edit the security object of the user database.");
  const text = await exchange.bodyJson(MAX_SECURITY_LENGTH);
  parseSecurity(JSON.parse(text));
  await exchange.server.mirrors.control.secure(db.name, text, () => db.setSecurity(text));
  exchange.json(200, '{"ok":true}');
}

async function setRevsLimit(exchange: Exchange, db: Database): Promise<void> {
  await db.setRevsLimit(await readLimit(exchange, 'revs_limit'));
  exchange.json(200, '{"ok":true}');
}

async function setPurgedInfosLimit(exchange: Exchange, db: Database): Promise<void> {
  await db.setPurgedInfosLimit(await readLimit(exchange, 'purged_infos_limit'));
  exchange.json(200, '{"ok":true}');
}

/** @throws CouchError 400, JsonError */
async function readLimit(exchange: Exchange, name: string): Promise<number> {
  const text = await exchange.bodyText();
  const limit = parseJson(text);
  // As in CouchDB, `1e3` and `7.0` are no integers.
  if (typeof limit === 'number' && limit > 0 && Number.isSafeInteger(limit) && /^\s*\d+\s*$/.test(text))
    return limit;
  throw badRequest(`\`${name}\` must be positive integer`);
}

async function ensureFullCommit(exchange: Exchange, db: Database): Promise<void> {
  await db.ensureFullCommit();
  const { instanceStartTime } = await db.info();
  exchange.json(201, JSON.stringify({ ok: true, instance_start_time: instanceStartTime }));
}

/** Answers at once; `_active_tasks`, and `compact_running` of the database, say when it is over. */
function compact(exchange: Exchange, db: Database): void {
  const { server } = exchange;
  server.databases.compact(db.name).catch((error: unknown) => server.report(exchange, error));
  exchange.json(202, '{"ok":true}');
}

/** Nothing is to be done: LevelDB gives the space of what is old in an index back by itself. */
function compactView(exchange: Exchange, db: Database): void {
  living(db.get(`_design/${exchange.param('name')}`));
  exchange.json(202, '{"ok":true}');
}

/** Answers at once. */
function cleanUpViews(exchange: Exchange, db: Database): void {
  const { server } = exchange;
  server.databases
    .use(db.name, (open) => server.views.cleanup(open))
    .catch((error: unknown) => server.report(exchange, error));
  exchange.json(202, '{"ok":true}');
}
