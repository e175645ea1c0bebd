import type { Resource } from '../resource.js';
import { allDbsRoutes } from './all-dbs.js';
import { allDocsRoutes } from './all-docs.js';
import { attachmentRoutes } from './attachments.js';
import { bulkRoutes } from './bulk.js';
import { bulkGetRoutes } from './bulk-get.js';
import { changesRoutes } from './changes.js';
import { clusterSetupRoutes } from './cluster-setup.js';
import { configRoutes } from './config.js';
import { databaseRoutes } from './databases.js';
import { dbUpdatesRoutes } from './db-updates.js';
import { documentRoutes } from './documents.js';
import { findRoutes } from './find.js';
import { listRoutes } from './list.js';
import { nodeRoutes } from './node.js';
import { purgeRoutes } from './purge.js';
import { replicateRoutes } from './replicate.js';
import { revsRoutes } from './revs.js';
import { rewriteRoutes } from './rewrite.js';
import { schedulerRoutes } from './scheduler.js';
import { serverRoutes } from './server.js';
import { sessionRoutes } from './session.js';
import { settingsRoutes } from './settings.js';
import { showRoutes } from './show.js';
import { unsupportedRoutes } from './unsupported.js';
import { updateRoutes } from './update.js';
import { viewRoutes } from './views.js';

export type AddResource = (resource: Resource) => void;

/** Everything that CouchDB has under its own paths. */
export function allRoutes(add: AddResource): void {
  serverRoutes(add);
  sessionRoutes(add);
  nodeRoutes(add);
  configRoutes(add);
  clusterSetupRoutes(add);
  replicateRoutes(add);
  schedulerRoutes(add);
  allDbsRoutes(add);
  dbUpdatesRoutes(add);
  databaseRoutes(add);
  settingsRoutes(add);
  documentRoutes(add);
  attachmentRoutes(add);
  bulkRoutes(add);
  bulkGetRoutes(add);
  allDocsRoutes(add);
  revsRoutes(add);
  purgeRoutes(add);
  changesRoutes(add);
  showRoutes(add);
  updateRoutes(add);
  rewriteRoutes(add);
  viewRoutes(add);
  findRoutes(add);
  listRoutes(add);
  unsupportedRoutes(add);
}
