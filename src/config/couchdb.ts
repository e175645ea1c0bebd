import { type Key, keys } from './keys.js';
import { emptyValues, fromText, put, valueAt, type Values } from './layers.js';
import type { Sections } from './runtime.js';
import { configSchema } from './schema.js';

/** A key of CouchDB's configuration that is one of ours. */
export interface CouchKey {
  readonly section: string;
  readonly name: string;
  /** The section that it was in before CouchDB moved it: it still counts there, where the new one does not have it. */
  readonly former: string | undefined;
  readonly key: Key;
  /** Words of CouchDB that are others here. */
  readonly words: Readonly<Record<string, string>>;
}

/** Numbers that CouchDB can have without a bound. */
const UNBOUND = { infinity: String(Number.MAX_SAFE_INTEGER) };
const LEVELS = {
  notice: 'info',
  warning: 'warn',
  err: 'error',
  critical: 'fatal',
  crit: 'fatal',
  alert: 'fatal',
  emergency: 'fatal',
  emerg: 'fatal',
  none: 'silent',
};

/** Where the keys of a section were before. */
const FORMER: Readonly<Record<string, string>> = { chttpd: 'httpd', chttpd_auth: 'couch_httpd_auth' };

/** Every key of CouchDB that takes effect here. Others are remembered, and mean nothing. */
export const couchKeys: readonly CouchKey[] = [
  like('couchdb/max_document_size', 'limits.maxDocumentSize', UNBOUND),
  like('couchdb/max_document_id_length', 'limits.maxDocumentIdLength', UNBOUND),
  like('couchdb/max_attachment_size', 'limits.maxAttachmentSize', UNBOUND),
  like('couchdb/max_dbs_open', 'limits.maxDbsOpen'),
  like('couchdb/maintenance_mode', 'maintenance', { true: 'on', false: 'off' }),
  like('couchdb/os_process_timeout', 'functions.timeout'),
  like('query_server_config/reduce_limit', 'functions.reduceLimit'),
  like('couchdb/users_db_security_editable', 'users.securityEditable'),
  like('couchdb/changes_doc_ids_optimization_threshold', 'limits.changesDocIdsOptimizationThreshold'),
  like('chttpd/max_http_request_size', 'limits.maxHttpRequestSize', UNBOUND),
  like('chttpd/max_uri_length', 'limits.maxUriLength', UNBOUND),
  like('chttpd/max_db_number_for_dbs_info_req', 'limits.maxDbNumberForDbsInfoReq'),
  like('chttpd/changes_timeout', 'limits.changesTimeout'),
  like('uuids/max_count', 'limits.uuidsMaxCount'),
  like('purge/max_document_id_number', 'limits.purgeMaxDocumentIdNumber'),
  like('purge/max_revisions_number', 'limits.purgeMaxRevisionsNumber'),
  like('attachments/compression_level', 'attachments.compressionLevel'),
  like('attachments/compressible_types', 'attachments.compressibleTypes'),
  like('chttpd/enable_cors', 'cors.enabled'),
  like('cors/origins', 'cors.origins'),
  like('cors/credentials', 'cors.credentials'),
  like('cors/methods', 'cors.methods'),
  like('cors/headers', 'cors.headers'),
  like('cors/max_age', 'cors.maxAge'),
  like('chttpd/require_valid_user', 'auth.requireValidUser'),
  like('chttpd/require_valid_user_except_for_up', 'auth.requireValidUserExceptForUp'),
  like('chttpd/admin_only_all_dbs', 'auth.adminOnlyAllDbs'),
  like('chttpd/WWW-Authenticate', 'auth.wwwAuthenticate'),
  like('jwt_auth/required_claims', 'jwt.requiredClaims'),
  like('jwt_auth/roles_claim_name', 'jwt.rolesClaimName'),
  like('jwt_auth/roles_claim_path', 'jwt.rolesClaimPath'),
  like('chttpd_auth/x_auth_username', 'proxy.usernameHeader'),
  like('chttpd_auth/x_auth_roles', 'proxy.rolesHeader'),
  like('chttpd_auth/x_auth_token', 'proxy.tokenHeader'),
  like('chttpd_auth/hash_algorithms', 'proxy.hashAlgorithms'),
  like('chttpd_auth/timeout', 'session.timeout'),
  like('chttpd_auth/allow_persistent_cookies', 'session.persistent'),
  like('chttpd_auth/same_site', 'session.sameSite', { None: 'none', Lax: 'lax', Strict: 'strict' }),
  like('chttpd_auth/cookie_domain', 'session.domain'),
  like('chttpd_auth/iterations', 'passwords.iterations'),
  like('chttpd_auth/pbkdf2_prf', 'passwords.prf'),
  like('chttpd_auth/upgrade_hash_on_auth', 'passwords.upgrade'),
  like('chttpd_auth/min_iterations', 'passwords.minIterations'),
  like('chttpd_auth/max_iterations', 'passwords.maxIterations'),
  like('chttpd_auth/public_fields', 'users.publicFields'),
  like('chttpd_auth/users_db_public', 'users.public'),
  like('chttpd_auth_lockout/mode', 'lockout.mode'),
  like('chttpd_auth_lockout/threshold', 'lockout.threshold'),
  like('chttpd_auth_lockout/max_lifetime', 'lockout.lifetime'),
  like('chttpd_auth_lockout/max_objects', 'lockout.maxObjects'),
  like('couch_peruser/enable', 'perUser.enable'),
  like('couch_peruser/delete_dbs', 'perUser.deleteDbs'),
  like('couch_peruser/database_prefix', 'perUser.databasePrefix'),
  like('smoosh/staleness', 'compaction.staleness'),
  like('smoosh.ratio_dbs/min_priority', 'compaction.minRatio'),
  like('smoosh.slack_dbs/min_priority', 'compaction.minSlack'),
  like('smoosh.ratio_dbs/min_size', 'compaction.minSize'),
  like('smoosh.ratio_dbs/concurrency', 'compaction.concurrency'),
  like('smoosh.ratio_dbs/from', 'compaction.from'),
  like('smoosh.ratio_dbs/to', 'compaction.to'),
  like('replicator/max_jobs', 'replication.maxJobs'),
  like('replicator/interval', 'replication.interval'),
  like('replicator/max_churn', 'replication.maxChurn'),
  like('replicator/max_history', 'replication.maxHistory'),
  like('replicator/health_threshold', 'replication.healthThreshold'),
  like('replicator/worker_processes', 'replication.workerProcesses'),
  like('replicator/worker_batch_size', 'replication.workerBatchSize'),
  like('replicator/http_connections', 'replication.httpConnections'),
  like('replicator/connection_timeout', 'replication.connectionTimeout'),
  like('replicator/retries_per_request', 'replication.retriesPerRequest'),
  like('replicator/checkpoint_interval', 'replication.checkpointInterval'),
  like('replicator/use_checkpoints', 'replication.useCheckpoints'),
  like('replicator/use_bulk_get', 'replication.useBulkGet'),
  like('log/level', 'log.level', LEVELS),
];

function like(place: string, ours: string, words: CouchKey['words'] = {}): CouchKey {
  const [section = '', name = ''] = place.split('/');
  return { section, name, former: FORMER[section], key: ourKey(ours), words };
}

function ourKey(name: string): Key {
  const key = keys.find((candidate) => candidate.name === name);
  if (key === undefined) throw new Error(`${name} is not a key of the configuration`);
  return key;
}

/** Sections with rules of `cors` for requests to one host. */
const OF_HOST = 'cors:';

/** The host whose rules a section has. */
export const hostOf = (section: string): string | undefined =>
  section.startsWith(OF_HOST) ? section.slice(OF_HOST.length) : undefined;

/** The keys of `cors` for one host. */
function keysOf(host: string): readonly CouchKey[] {
  const all = ourKey('cors.hosts');
  return couchKeys
    .filter(({ section }) => section === 'cors')
    .map((one) => {
      const path = [...all.path, host, ...one.key.path.slice(-1)];
      const key = { ...all, path, name: path.join('.'), kind: one.key.kind, allowed: one.key.allowed };
      return { ...one, section: OF_HOST + host, key };
    });
}

/** The key of ours that a name in one of CouchDB's sections means. */
export function couchKeyAt(section: string, name: string): CouchKey | undefined {
  const host = hostOf(section);
  const among = host === undefined ? couchKeys : keysOf(host);
  return among.find((one) => one.name === name && (one.section === section || one.former === section));
}

/** The layer of the configuration that sections of CouchDB's are. */
export function valuesOf(sections: Sections): Values {
  const values = emptyValues();
  const hosts = [...sections.keys()].flatMap((section) => hostOf(section) ?? []);
  for (const one of [...couchKeys, ...hosts.flatMap(keysOf)]) {
    const text = textAt(sections, one);
    if (text === undefined) continue;
    // It means what it means in CouchDB, whatever the file says: an empty list, and the default of all else.
    const isDefault = text === '' && one.key.kind !== 'list';
    if (!isDefault) put(values, one.key, read(one, text));
    else if (hostOf(one.section) === undefined) put(values, one.key, undefined);
  }
  const admins = sections.get('admins');
  if (admins !== undefined) values.admins = Object.assign(emptyValues(), Object.fromEntries(admins));
  return values;
}

function textAt(sections: Sections, { section, former, name }: CouchKey): string | undefined {
  const text = sections.get(section)?.get(name);
  return text === undefined && former !== undefined ? sections.get(former)?.get(name) : text;
}

/** What may stand there instead, where a text is none that the key can have. */
export function refusalOf(one: CouchKey, text: string): string | undefined {
  if (text === '') return undefined;
  const values = emptyValues();
  put(values, one.key, read(one, text));
  return configSchema.safeParse(values).success ? undefined : one.key.allowed;
}

function read({ key, words }: CouchKey, text: string): unknown {
  return fromText(key, Object.hasOwn(words, text) ? (words[text] ?? text) : text);
}

/** A value as CouchDB writes it. */
export function textOf(value: unknown): string {
  return Array.isArray(value) ? value.join(',') : String(value);
}

/** The values that are given in a layer, under CouchDB's names. */
export function* couchTexts(
  values: Values,
): Generator<readonly [section: string, name: string, text: string]> {
  const hosts = valueAt(values, ourKey('cors.hosts').path);
  for (const { section, name, key } of [...couchKeys, ...Object.keys(hosts ?? {}).flatMap(keysOf)]) {
    const value = valueAt(values, key.path);
    if (value !== undefined && value !== null) yield [section, name, textOf(value)];
  }
}

/** What CouchDB would run, or read from the disk: nobody may say it over HTTP. */
const CLOSED_SECTIONS = new Set([
  'couch_scanner_plugins',
  'couchdb_engines',
  'daemons',
  'external',
  'feature_flags',
  'httpd_db_handlers',
  'httpd_design_handlers',
  'httpd_global_handlers',
  'indexers',
  'jwt_keys',
  'native_query_servers',
  'os_daemons',
  'query_servers',
  'ssl',
  'update_notification',
]);

/** The same, of sections of which the rest is harmless; and secrets. */
const CLOSED_KEYS = new Set([
  'chttpd/authentication_handlers',
  'chttpd/config_whitelist',
  'chttpd/docroot',
  'chttpd/stats_reporter',
  'chttpd_auth/secret',
  'couch_httpd_auth/secret',
  'couchdb/database_dir',
  'couchdb/default_engine',
  'couchdb/js_engine',
  'couchdb/plugin_dir',
  'couchdb/uri_file',
  'couchdb/util_driver_dir',
  'couchdb/view_index_dir',
  'httpd/authentication_handlers',
  'httpd/config_whitelist',
  'httpd/default_handler',
  'httpd/vhost_global_handlers',
  'log/file',
  'log/writer',
  'nouveau/ssl_cacert_file',
  'nouveau/ssl_cert_file',
  'nouveau/ssl_key_file',
  'nouveau/ssl_password',
  'replicator/auth_plugins',
  'replicator/cert_file',
  'replicator/key_file',
  'replicator/password',
  'replicator/ssl_trusted_certificates_file',
  'smoosh/state_dir',
]);

export const isClosedSection = (section: string): boolean => CLOSED_SECTIONS.has(section);

export const isClosed = (section: string, name: string): boolean =>
  isClosedSection(section) || CLOSED_KEYS.has(`${section}/${name}`);
