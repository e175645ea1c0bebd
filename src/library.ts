/** What the package exports: the gateway and the store, to be used in other programs. */
import { loadConfig } from './config/load.js';
import type { ConfigValues } from './config/schema.js';
import { createGateway as startGateway, type Gateway, type GatewayOptions } from './gateway.js';

/**
 * Starts a gateway in this process.
 *
 * LevelDB and password hashing share libuv's threads with the rest of the process: its default of 4 is too few for many
 * databases. Only the environment in which the process is started can raise it (`UV_THREADPOOL_SIZE=24`).
 * @param config the keys that the README names; what is left out has its default, and no file or environment is read
 * @throws StartError where the configuration is wrong, or the data directory or the address cannot be used
 */
export async function createGateway(
  config: ConfigValues = {},
  options: GatewayOptions = {},
): Promise<Gateway> {
  return startGateway(loadConfig({ values: config }), options);
}

export { StartError } from './config/exit.js';
export { openDatabase, PouchDB } from './pouchdb/pouchdb.js';
export type { ConfigValues, Gateway, GatewayOptions };
export type * from './pouchdb/types.js';
export type {
  AttachmentInfo,
  Conflict,
  ConflictLeaf,
  Document as ConflictDocument,
  MergeFunction,
  Resolution,
  TreeRevision,
  Version,
} from './conflicts/types.js';
