import type { AddResource } from './index.js';
import { onNode } from './node.js';
import { couchKeyAt } from '../../config/couchdb.js';
import { StartError } from '../../config/exit.js';
import { badRequest, insufficientStorage, internalError } from '../../errors.js';
import { isNoSpace } from '../../store/failures.js';
import type { Exchange } from '../exchange.js';
import { onServer, type ServerHandler } from '../resource.js';

/** Bytes of the JSON of one text. */
const MAX_TEXT = 65_536;

/** The configuration over HTTP, for server admins. */
export function configRoutes(add: AddResource): void {
  const admin = (run?: ServerHandler): ReturnType<typeof onServer> =>
    onServer('serverAdmin', run && onNode(run));
  const other = admin();
  add({ path: '/_node/:node/_config', allow: 'GET', methods: { GET: admin(showAll) }, other });
  add({ path: '/_node/:node/_config/_reload', allow: 'POST', methods: { POST: admin(reload) }, other });
  add({ path: '/_node/:node/_config/:section', allow: 'GET', methods: { GET: admin(showSection) }, other });
  add({
    path: '/_node/:node/_config/:section/:key',
    allow: 'GET,PUT,DELETE',
    methods: { GET: admin(show), PUT: admin(set), DELETE: admin(remove) },
    other,
  });
}

function showAll(exchange: Exchange): void {
  const sections = Array.from(exchange.server.couchSettings.sections(), ([name, texts]) => [
    name,
    Object.fromEntries(texts),
  ]);
  exchange.json(200, JSON.stringify(Object.fromEntries(sections)));
}

function showSection(exchange: Exchange): void {
  const texts = exchange.server.couchSettings.section(exchange.param('section'));
  exchange.json(200, JSON.stringify(Object.fromEntries(texts)));
}

function show(exchange: Exchange): void {
  const text = exchange.server.couchSettings.get(exchange.param('section'), exchange.param('key'));
  exchange.json(200, JSON.stringify(text));
}

async function set(exchange: Exchange): Promise<void> {
  const { couchSettings } = exchange.server;
  const [section, key] = [exchange.param('section'), exchange.param('key')];
  const before = await stored(couchSettings.set(section, key, () => readText(exchange), persists(exchange)));
  logChange(exchange, section, key);
  exchange.json(200, JSON.stringify(before));
}

async function remove(exchange: Exchange): Promise<void> {
  const { couchSettings } = exchange.server;
  const [section, key] = [exchange.param('section'), exchange.param('key')];
  const before = await stored(couchSettings.delete(section, key, persists(exchange)));
  logChange(exchange, section, key);
  exchange.json(200, JSON.stringify(before));
}

async function reload(exchange: Exchange): Promise<void> {
  try {
    await exchange.server.settings.reload();
  } catch (error) {
    // What is wrong is said in the words of a start, which show no secrets.
    throw error instanceof StartError ? badRequest(error.message) : error;
  }
  const { id, user, server } = exchange;
  server.log.info({ request: id, user: user.name }, 'the configuration was read again');
  exchange.json(200, '{"ok":true}');
}

/**
 * Writes down who changed what. A value is told where the key takes effect, which those of secrets do not: what clients
 * keep under names of their own may be one.
 */
function logChange({ id, user, server }: Exchange, section: string, key: string): void {
  const value = couchKeyAt(section, key) && server.couchSettings.section(section).get(key);
  const told = value !== undefined && { value };
  server.log.info({ request: id, user: user.name, section, key, ...told }, 'the configuration was changed');
}

/** @throws CouchError 400 */
async function readText(exchange: Exchange): Promise<string> {
  const value = await exchange.bodyValue(MAX_TEXT);
  if (typeof value !== 'string') throw badRequest('a JSON string expected');
  return value;
}

/** Whether a change is to outlive the process. */
const persists = (exchange: Exchange): boolean => exchange.header('x-couch-persist') !== 'false';

/**
 * Waits for a change of the configuration.
 * @throws CouchError 500 where what is on the disk is damaged, 507 where there is no room for it
 */
export async function stored<T>(change: Promise<T>): Promise<T> {
  try {
    return await change;
  } catch (error) {
    if (error instanceof StartError) throw internalError(error.message, error);
    throw isNoSpace(error) ? insufficientStorage(error) : error;
  }
}
