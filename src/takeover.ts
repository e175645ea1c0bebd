import { hashPassword, isHashed, parseHash } from './auth/password.js';
import { parseSecurity } from './auth/security.js';
import { overlay } from './config/layers.js';
import { type FormerSettings, isAdminName, readFormerSettings } from './config/pouchdb-server.js';
import { readRuntime, writeRuntime } from './config/runtime.js';
import type { Config } from './config/schema.js';
import type { Logger } from './observe/log.js';
import { FormerServer } from './store/pouchdb-server.js';

/** Hashes with fewer rounds are broken in no time; pouchdb-server makes them with ten. */
const FEW_ROUNDS = 1000;

/**
 * Takes over a data directory that pouchdb-server has made: its databases with their security objects, and of its
 * configuration the admins and the origins for CORS, which are put into DATA/runtime.json. Where it is interrupted,
 * the next start goes on.
 * @throws StartError where pouchdb-server still runs, or did not use LevelDB
 */
export async function takeOver(root: string, config: Config, log: Logger): Promise<void> {
  const former = await FormerServer.open(root);
  if (former === undefined) return;
  try {
    log.info({ data: root }, 'taking over the data directory of a pouchdb-server');
    await lookInto(former, log);
    await adoptSettings(root, config, log);
    for (const { folder, reason } of await former.takeOver())
      log.warn({ folder }, `a folder stays where it is: ${reason}`);
    log.info('the databases are taken over; the folder pouchdb-server can be deleted');
  } finally {
    await former.close();
  }
}

/** Says which databases will be used by fewer people than before. */
async function lookInto(former: FormerServer, log: Logger): Promise<void> {
  const open: string[] = [];
  for await (const { name, security, damage } of former.databases()) {
    if (damage !== undefined) log.warn({ database: name, err: damage }, 'a database cannot be opened');
    else if (name.startsWith('_')) continue;
    else if (security === undefined) open.push(name);
    else if (!isSecurityObject(security))
      log.warn({ database: name }, 'a security object cannot be read: the database is for server admins');
  }
  if (open.length > 0)
    log.warn(
      { databases: open },
      'databases without a security object were open to everybody, and are now for server admins: set _security',
    );
}

function isSecurityObject(text: string): boolean {
  try {
    parseSecurity(JSON.parse(text));
    return true;
  } catch {
    return false;
  }
}

async function adoptSettings(root: string, config: Config, log: Logger): Promise<void> {
  const settings = readSettings(root, log);
  if (settings === undefined) return;
  if (settings.others.length > 0)
    log.warn({ settings: settings.others }, 'settings of pouchdb-server are not taken over');
  const admins = await adminsOf(settings, config, log);
  const origins = config.cors.origins.length > 0 ? [] : settings.origins;
  if (Object.keys(admins).length + origins.length > 0) {
    const runtime = readRuntime(root);
    const values = { admins, ...(origins.length > 0 && { cors: { origins } }) };
    await writeRuntime(root, { ...runtime, config: overlay(runtime.config, values) });
  }
}

function readSettings(root: string, log: Logger): FormerSettings | undefined {
  try {
    const settings = readFormerSettings(root);
    if (settings !== undefined) return settings;
    log.warn('there is no config.json in the data directory: admins of pouchdb-server are not known here');
  } catch (err) {
    log.warn({ err }, 'config.json cannot be read: admins of pouchdb-server are not known here');
  }
  return undefined;
}

/** The admins that the configuration does not name already, with their hashes. */
async function adminsOf(
  { admins }: FormerSettings,
  config: Config,
  log: Logger,
): Promise<Record<string, string>> {
  const adopted: [name: string, hashed: string][] = [];
  for (const [name, password] of admins) {
    if (Object.hasOwn(config.admins, name)) continue;
    // pouchdb-server hashes them, too, when it next starts.
    const hashed = isHashed(password) ? password : await hashPassword(password);
    const hash = parseHash(hashed);
    if (hash === undefined || !isAdminName(name)) {
      log.warn({ name }, 'an admin is not taken over: the name is not allowed, or the hash of no known form');
      continue;
    }
    if (hash.iterations < FEW_ROUNDS)
      log.warn({ name }, 'the password of an admin is hashed weakly, as pouchdb-server does: set it again');
    adopted.push([name, hashed]);
  }
  return Object.fromEntries(adopted);
}
