import { databaseInfo } from './info.js';
import type { AddResource } from './index.js';
import { USERS } from '../../auth/users/ids.js';
import { badRequest, databaseExists, databaseMissing } from '../../errors.js';
import { parseDocument } from '../../store/document.js';
import { requireDatabaseName } from '../../store/names.js';
import type { Database } from '../../store/types/database.js';
import type { DatabaseProperties } from '../../store/types/properties.js';
import type { Exchange } from '../exchange.js';
import { Intake } from '../intake.js';
import { integer } from '../query.js';
import { json, onDatabase, onServer } from '../resource.js';
import { encodeSegment } from '../url.js';
import { checkWrite, isForLater, writeLater, writeOne } from '../writes.js';

export function databaseRoutes(add: AddResource): void {
  add({
    path: '/:db',
    allow: 'DELETE,GET,HEAD,POST',
    methods: {
      GET: onDatabase('member', show),
      POST: json(onDatabase('member', post)),
      PUT: onServer('serverAdmin', create),
      DELETE: onServer('serverAdmin', remove),
    },
    other: onDatabase('member'),
  });
}

async function show(exchange: Exchange, db: Database): Promise<void> {
  exchange.json(200, await databaseInfo(db));
}

async function create(exchange: Exchange): Promise<void> {
  const properties = readOptions(exchange);
  const name = exchange.param('db');
  requireDatabaseName(name);
  const { databases, mirrors, users } = exchange.server;
  if (mirrors.isMirrored(name)) await mirrors.control.create(name, parametersOf(exchange));
  else if (!(await databases.create(name, properties))) throw databaseExists();
  if (name === USERS) await users.prepare();
  exchange.json(201, '{"ok":true}', ['Location', exchange.absolute(`/${encodeSegment(name)}`)]);
}

/**
 * What the database is to be. How CouchDB would spread it over a cluster is checked, and otherwise of no account here.
 * @throws CouchError 400
 */
function readOptions(exchange: Exchange): DatabaseProperties {
  for (const key of ['n', 'q']) {
    const value = exchange.parameter(key);
    if (value !== undefined && !((integer(value) ?? 0) > 0)) {
      throw badRequest(`The \`${key}\` value should be a positive integer.`);
    }
  }
  const placement = exchange.parameter('placement');
  if (placement !== undefined && !/^([^:,]+:0*[1-9][0-9]*)(,[^:,]+:0*[1-9][0-9]*)*$/.test(placement)) {
    throw badRequest('The `placement` value should be in a format `zone:n`.');
  }
  const engine = exchange.parameter('engine');
  if (engine !== undefined && engine !== 'couch') throw badRequest('invalid_engine_extension');
  const partitioned = exchange.parameter('partitioned');
  if (partitioned !== undefined && partitioned !== 'true' && partitioned !== 'false')
    throw badRequest('Invalid `partitioned` parameter');
  return { partitioned: partitioned === 'true' };
}

/** What is said of a database that is made upstream as well; checked already. */
function parametersOf(exchange: Exchange): Readonly<Record<string, string>> {
  const given = ['n', 'q', 'placement', 'engine', 'partitioned'].flatMap((key) => {
    const value = exchange.parameter(key);
    return value === undefined ? [] : [[key, value]];
  });
  return Object.fromEntries(given) as Record<string, string>;
}

async function remove(exchange: Exchange): Promise<void> {
  if (exchange.parameter('rev') !== undefined) {
    throw badRequest(
      'You tried to DELETE a database with a ?=rev parameter. Did you mean to DELETE a document instead?',
    );
  }
  const { databases, mirrors } = exchange.server;
  const name = exchange.param('db');
  if (mirrors.isMirrored(name)) await mirrors.control.remove(name);
  else if (!(await databases.delete(name))) throw databaseMissing();
  exchange.json(200, '{"ok":true}');
}

/** Makes a document, under its `_id` or a new one. */
async function post(exchange: Exchange, db: Database): Promise<void> {
  const { server } = exchange;
  const given = await parseDocument(await exchange.bodyText(), {
    newEdits: true,
    makeId: () => server.uuids.next(),
    ...server.documents,
  });
  await checkWrite(exchange, db, given);
  const id = JSON.stringify(given.id);
  await Intake.during(exchange, db, async (intake) => {
    const edit = await intake.edit(given, true);
    // Attachments are taken in for this request alone.
    if (isForLater(exchange, db, edit)) {
      writeLater(exchange, db, edit);
      exchange.json(202, `{"ok":true,"id":${id}}`);
      return;
    }
    const rev = await writeOne(db, edit, true);
    const location = exchange.absolute(`/${encodeSegment(db.name)}/${encodeSegment(edit.id)}`);
    exchange.json(201, `{"ok":true,"id":${id},"rev":${JSON.stringify(rev)}}`, ['Location', location]);
  });
}
