import type { UserContext } from '../auth/usercontext.js';
import type { Config } from '../config/schema.js';
import type { LocalPeerOptions } from '../replication/local/options.js';
import type { Rejections } from '../rejections/rejections.js';
import { Replicator, type ReplicatorServices } from '../replicator/replicator.js';
import type { Database } from '../store/types.js';
import { typePattern } from './intake.js';
import { replicationFilter } from './replication-filter.js';
import { viewFor } from './seen.js';
import { checkDesign } from './writes.js';
import type { Services } from './services.js';

type Parts = Omit<Services, 'replicator'> & { readonly rejections: Rejections };

/** The replicator, which uses databases here by the rules that requests have. */
export function createReplicator(
  { settings, databases, auth, users, log, tasks, sandbox, server, rejections, mirrors }: Parts,
  tuning: Pick<ReplicatorServices, 'filterCheck' | 'firstBackoff' | 'resolve'> = {},
): Replicator {
  const { config } = settings;
  const viewOf = (db: Database, user: UserContext): Database =>
    viewFor({ sandbox, users, replicator }, user, mirrors.view(db), () => false);
  const replicator: Replicator = new Replicator({
    ...tuning,
    config,
    databases,
    log,
    tasks,
    rejections,
    uuid: server.uuid,
    viewOf,
    checkDesign: (db, id, text) => checkDesign(sandbox, db, id, text),
    isElsewhere: (name) => mirrors.placeOf(name) === 'there',
    filter: replicationFilter(sandbox),
    authenticate: (headers, client) => auth.authenticate(headers, client),
    accountOf: (name) => auth.accountOf(name),
    limits: () => writeRules(config),
  });
  settings.onChange(() => replicator.reconsider());
  return replicator;
}

/** What documents and attachments are held to that a replication writes. */
export function writeRules({
  limits,
  attachments,
}: Pick<Config, 'limits' | 'attachments'>): Pick<LocalPeerOptions, 'documents' | 'attachments'> {
  const { maxDocumentSize: maxSize, maxDocumentIdLength: maxIdLength = Infinity } = limits;
  return {
    documents: { maxSize, maxIdLength },
    attachments: {
      maxSize: limits.maxAttachmentSize,
      compressible: typePattern(attachments.compressibleTypes),
      compressionLevel: attachments.compressionLevel,
    },
  };
}
