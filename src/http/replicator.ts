import { requireRight } from '../auth/rights.js';
import { isServerAdmin, type UserContext } from '../auth/usercontext.js';
import type { Config } from '../config/schema.js';
import type { LocalPeerOptions } from '../replication/local/options.js';
import type { Rejections } from '../rejections/rejections.js';
import type { Mirrored } from '../replicator/access.js';
import { Replicator, type ReplicatorServices } from '../replicator/replicator.js';
import type { Database } from '../store/types/database.js';
import type { Mirrors } from '../upstream/mirrors/mirrors.js';
import type { Upstream } from '../upstream/upstream.js';
import { typePattern } from './intake.js';
import { replicationFilter } from './replication-filter.js';
import { viewFor } from './seen.js';
import { checkDesign } from './writes.js';
import type { Services } from './services.js';

type Parts = Omit<Services, 'replicator'> & { readonly rejections: Rejections };

/** The replicator, which uses databases here by the rules that requests have. */
export function createReplicator(
  { settings, databases, auth, users, log, tasks, sandbox, server, rejections, mirrors, upstream }: Parts,
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
    isElsewhere: (name) => mirrors.placeOf(name) === 'there' && !mirrors.isMirrored(name),
    mirrored: mirroredFor(mirrors, upstream),
    filter: replicationFilter(sandbox),
    authenticate: (headers, client) => auth.authenticate(headers, client),
    accountOf: (name) => auth.accountOf(name),
    limits: () => writeRules(config),
  });
  settings.onChange(() => replicator.reconsider());
  return replicator;
}

function mirroredFor(mirrors: Mirrors, upstream: Upstream): Mirrored {
  const bring = async (name: string, user: UserContext): Promise<void> => {
    if (!isServerAdmin(user)) requireRight('member', user, await upstream.securityOf(name));
    await mirrors.control.bring(name);
  };
  return {
    has: (name) => mirrors.isMirrored(name),
    bring: (name, user) => (mirrors.placeOf(name) === 'here' ? undefined : bring(name, user)),
    create: (name, { partitioned }) =>
      mirrors.control.create(name, partitioned === true ? { partitioned: 'true' } : {}),
  };
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
