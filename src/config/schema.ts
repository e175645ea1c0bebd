import { z } from 'zod';
import { conflicts, isPurgeable, journal } from './conflicts-schema.js';
import { cors } from './cors-schema.js';
import { jwtSchema } from './jwt.js';
import { proxySchema } from './proxy.js';
import { replication } from './replication-schema.js';
import { databaseRules, misfit, upstream } from './upstream-schema.js';

declare module 'zod' {
  interface GlobalMeta {
    /** What may stand there, in words; made from the type where it is not given. */
    allowed?: string;
    /** The value is never shown. */
    secret?: boolean;
    /** Its flag, where that is another one than its name says. */
    flag?: string;
  }
}

const MiB = 1024 * 1024;

const port = z.int().min(0).max(65_535);
const bytes = (value: number, min = 1): z.ZodDefault<z.ZodInt> => z.int().min(min).default(value);
const count = (value: number): z.ZodDefault<z.ZodInt> => z.int().min(1).default(value);
const milliseconds = (value: number): z.ZodDefault<z.ZodInt> =>
  z.int().min(1).max(2_147_483_647).default(value);

/** What an admin may be called. */
export const adminName = z.string().regex(/^[^_:,\s][^:,]*$/);

const session = z.strictObject({
  timeout: z
    .int()
    .min(1)
    .max(31_536_000)
    .default(600)
    .describe('Seconds after which a cookie session ends when it is not used.'),
  persistent: z
    .boolean()
    .default(true)
    .describe(
      'Whether browsers keep the cookie when they are closed (`allow_persistent_cookies` of CouchDB’s `chttpd_auth`).',
    ),
  sameSite: z
    .enum(['none', 'lax', 'strict'])
    .optional()
    .describe('The SameSite attribute of the cookie (`same_site`); not sent when it is not given.'),
  domain: z
    .string()
    .regex(/^[A-Za-z0-9.-]+$/)
    .optional()
    .meta({
      description: 'The Domain attribute of the cookie (`cookie_domain`); not sent when it is not given.',
      allowed: 'a domain such as example.org',
    }),
});

/** A token of RFC 6265 without what would have to be quoted. */
const cookieWord = z.string().regex(/^[A-Za-z0-9._-]+$/);

const balancing = z.strictObject({
  name: cookieWord.optional().meta({
    description:
      'What this gateway is called by the load balancer in front of several, which keeps clients on one by a cookie; no cookie is sent when it is not given.',
    allowed: 'letters, digits, ., _ and -',
  }),
  cookie: cookieWord.default('CausewayGateway').meta({
    description: 'The cookie that says which gateway a client is with.',
    allowed: 'letters, digits, ., _ and -',
  }),
});

const auth = z.strictObject({
  handlers: z
    .array(z.enum(['cookie', 'default', 'jwt', 'proxy']))
    .min(1)
    .default(['cookie', 'default'])
    .meta({
      description:
        'The ways to log in, in the order in which they are tried; `default` is HTTP Basic (`authentication_handlers` of `chttpd`).',
      allowed: 'a list of cookie, default, jwt (which needs jwt.keys) and proxy (which needs proxy.secret)',
    }),
  requireValidUser: z
    .boolean()
    .default(false)
    .describe('Whether requests without credentials are refused (`require_valid_user` of `chttpd`).'),
  requireValidUserExceptForUp: z
    .boolean()
    .default(false)
    .describe('The same, but for `/_up` (`require_valid_user_except_for_up`).'),
  adminOnlyAllDbs: z
    .boolean()
    .default(true)
    .describe('Whether `_all_dbs` and `_dbs_info` are for server admins (`admin_only_all_dbs`).'),
  wwwAuthenticate: z
    .string()
    .regex(/^[\x20-\x7e]+$/)
    .optional()
    .meta({
      description:
        'The `WWW-Authenticate` header of answers with status 401, which makes browsers ask for a password; not sent when it is not given.',
      allowed: 'a challenge such as Basic realm="notes"',
    }),
});

const iterations = (value: number): z.ZodDefault<z.ZodInt> =>
  z.int().min(1).max(1_000_000_000).default(value);

const passwords = z.strictObject({
  iterations: iterations(600_000).describe(
    'The cost of hashing a new password (`iterations` of `chttpd_auth`).',
  ),
  prf: z
    .enum(['sha', 'sha224', 'sha256', 'sha384', 'sha512'])
    .default('sha256')
    .describe('The function that new passwords are hashed with (`pbkdf2_prf`).'),
  upgrade: z
    .boolean()
    .default(true)
    .describe('Whether a user who logs in gets a hash of that kind (`upgrade_hash_on_auth`).'),
  minIterations: iterations(1).describe(
    'Users whose password is hashed with fewer iterations cannot log in (`min_iterations`).',
  ),
  maxIterations: iterations(10_000_000).describe(
    'Nor can those with more (`max_iterations`): checking their passwords would take too long.',
  ),
});

const lockout = z.strictObject({
  mode: z
    .enum(['enforce', 'warn', 'off'])
    .default('enforce')
    .describe(
      'What happens to an address that sends too many wrong passwords for a name: refused with 403, logged, nothing (`mode` of `chttpd_auth_lockout`).',
    ),
  threshold: count(5).describe('So many wrong passwords are too many (`threshold`).'),
  lifetime: milliseconds(300_000).describe(
    'The time after which they are forgotten, in milliseconds (`max_lifetime`).',
  ),
  maxObjects: count(10_000).describe('For so many names and addresses they are counted (`max_objects`).'),
});

const perUser = z.strictObject({
  enable: z
    .boolean()
    .default(false)
    .describe('Whether every user gets a database of their own (`enable` of `couch_peruser`).'),
  deleteDbs: z.boolean().default(false).describe('Whether it is deleted with the user (`delete_dbs`).'),
  databasePrefix: z
    .string()
    .regex(/^[a-z][a-z0-9_$()+/-]{0,200}$/)
    .default('userdb-')
    .meta({
      description:
        'What its name begins with; the name of the user follows, in hexadecimal digits (`database_prefix`).',
      allowed: 'the beginning of the name of a database',
    }),
});

const users = z.strictObject({
  publicFields: z
    .array(z.string().min(1))
    .default([])
    .describe('Members of user documents that others may read (`public_fields` of `chttpd_auth`).'),
  public: z
    .boolean()
    .default(false)
    .describe('Whether whoever may read `_users` may list those members of all users (`users_db_public`).'),
  securityEditable: z
    .boolean()
    .default(false)
    .describe(
      'Whether the security object of `_users` can be changed (`users_db_security_editable` of `couchdb`).',
    ),
});

const log = z.strictObject({
  level: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
    .default('info')
    .describe('The least severe level that is logged.'),
  requests: z.boolean().default(false).describe('Whether each request is logged, and not only failing ones.'),
});

/** Those of CouchDB have its names; where such a name says too little, that of its section stands before it. */
const limits = z.strictObject({
  maxDocumentSize: bytes(8_000_000).describe('Bytes of JSON that one document may have.'),
  maxDocumentIdLength: z.int().min(1).optional().describe('Bytes that the id of a document may have.'),
  maxAttachmentSize: bytes(1024 * MiB).describe('Bytes that one attachment may have.'),
  maxHttpRequestSize: bytes(64 * MiB).describe(
    'Bytes that the body of one request may have, attachments that are sent as they are aside.',
  ),
  maxUriLength: bytes(64 * 1024).describe('Bytes that the URL of a request may have.'),
  maxHeaderSize: bytes(80 * 1024, 1024).describe(
    'Bytes that the line and the headers of a request may have together.',
  ),
  maxBodyMemory: bytes(128 * MiB, MiB).describe(
    'Bytes that the bodies of all requests together may have in memory; where it is used up, large ones wait.',
  ),
  maxDbsOpen: count(500).describe('How many databases are kept open at once; idle ones are closed first.'),
  maxDbNumberForDbsInfoReq: count(100).describe('The most databases that one `_dbs_info` may ask for.'),
  uuidsMaxCount: count(1000).describe('The most that `_uuids` makes at once.'),
  purgeMaxDocumentIdNumber: count(100).describe('The most documents that one `_purge` may name.'),
  purgeMaxRevisionsNumber: count(1000).describe('The most revisions that one `_purge` may name.'),
  changesDocIdsOptimizationThreshold: count(1000).describe(
    'Up to so many `doc_ids` of a changes feed are looked up one by one; for more the whole feed is read.',
  ),
  changesTimeout: milliseconds(60_000).describe(
    'The longest wait of a changes feed for a change, in milliseconds.',
  ),
  changesHeartbeat: milliseconds(60_000).describe(
    'The beat of a changes feed that asks for a heartbeat without saying how often, in milliseconds.',
  ),
  maxFeeds: count(12_000).describe('How many feeds may wait for changes at once.'),
  maxFeedsPerClient: count(10_000).describe(
    'How many of them may belong to one user, or to one address where nobody is logged in.',
  ),
  maxConnections: count(16_000).describe(
    'How many connections may be open at once; fewer, where the process may not open so many files.',
  ),
  maxConnectionsPerAddress: count(12_000).describe(
    'How many of them may come from one address; a proxy in front is one, too.',
  ),
  headersTimeout: milliseconds(60_000).describe(
    'The time within which the headers of a request have to be there, in milliseconds.',
  ),
  keepAliveTimeout: milliseconds(72_000).describe(
    'The time for which a connection is kept for its next request, in milliseconds.',
  ),
  progressTimeout: milliseconds(60_000).describe(
    'The time within which a client has to go on sending a body or taking an answer, in milliseconds.',
  ),
  minTransferRate: z
    .int()
    .min(0)
    .default(500)
    .describe('Bytes a second that it has to send or take on average meanwhile.'),
});

const attachments = z.strictObject({
  compressionLevel: z
    .int()
    .min(0)
    .max(9)
    .default(8)
    .describe('How hard attachments are compressed, from 1 to 9; 0 leaves them as they are.'),
  compressibleTypes: z
    // With more of them, a long type that a client makes up would take long to compare.
    .array(z.string().regex(/^(?!$)[^*]*\*?[^*]*$/))
    .default(['text/*', 'application/javascript', 'application/json', 'application/xml'])
    .meta({
      description: 'Content types of attachments that are compressed.',
      allowed: 'a list of content types, in each of which one * may stand for any text',
    }),
});

const store = z.strictObject({
  chunkAbove: bytes(4 * MiB, 1024).describe(
    'Attachments with more bytes are stored in chunks; PouchDB cannot open a database that has any.',
  ),
  memory: bytes(512 * MiB, MiB).describe(
    'Bytes for write buffers and caches of all open databases; each further one gets less, yet never below 1.25 MiB.',
  ),
  writeBuffer: bytes(16 * MiB, 262_144).describe(
    'Bytes that one database gathers in memory at most before it writes a table.',
  ),
  cache: bytes(8 * MiB, 262_144).describe('Bytes of tables that one database keeps in memory at most.'),
  minFree: bytes(1024 * MiB, 0).describe(
    'Bytes that have to be free on the disk for a database of the upstream to be mirrored; with fewer it stays there.',
  ),
  sync: z
    .boolean()
    .default(true)
    .describe(
      'Only for tests of durability: false answers writes before they are on the disk, and loses them in a crash.',
    ),
});

const compression = z.strictObject({
  enabled: z
    .boolean()
    .default(true)
    .describe(
      'Whether JSON is sent compressed (br, gzip) to clients that ask for it; waiting feeds never are.',
    ),
  minSize: bytes(4096).describe('Answers with fewer bytes are sent as they are.'),
  concurrency: count(100).describe(
    'How many answers are compressed at once, each of which takes some 1 MB; others are sent as they are.',
  ),
});

const functions = z.strictObject({
  timeout: milliseconds(5000).describe(
    'The time that a function of a design document may take for one document, in milliseconds (`os_process_timeout` of `couchdb`).',
  ),
  memory: bytes(64 * MiB, MiB).describe(
    'Bytes of memory that the functions of one design document may take together.',
  ),
  maxOutput: bytes(64 * MiB).describe('Characters of JSON that a function may answer with.'),
  maxKept: count(32).describe(
    'For how many design documents each thread keeps the functions ready; those that were used last stay.',
  ),
  slowThreads: count(4).describe(
    'How many threads there are at most for functions that take long; all others share as many as there are processors but one.',
  ),
  reduceLimit: z
    .boolean()
    .default(true)
    .describe('Whether reductions of views that grow with what they are made of are refused.'),
});

const time = (value: string): z.ZodDefault<z.ZodString> =>
  z
    .string()
    .regex(/^(([01]?[0-9]|2[0-3]):[0-5][0-9]|24:00)$/)
    .default(value);

const compaction = z.strictObject({
  automatic: z
    .boolean()
    .default(true)
    .describe('Whether databases are compacted by themselves, or only when somebody asks for it.'),
  minRatio: z
    .number()
    .min(1)
    .default(2)
    .describe('They are when they store more than so many times what a compaction would keep.'),
  minSlack: bytes(512 * MiB, 0).describe(
    'They are, too, when a compaction would drop more bytes than these.',
  ),
  minSize: bytes(MiB, 0).describe('They are not while they store no more bytes than these.'),
  concurrency: count(1).describe('How many databases are compacted by themselves at once.'),
  staleness: z
    .number()
    .min(0)
    .default(5)
    .describe('Minutes for which a database is left alone after a compaction.'),
  from: time('00:00').meta({
    description: 'From when on each day compactions begin by themselves, in UTC.',
    allowed: 'a time such as 02:30',
  }),
  to: time('24:00').meta({
    description: 'From when on none begins any more, in UTC; it may lie before `compaction.from`.',
    allowed: 'a time such as 04:30',
  }),
});

/**
 * Every key of the configuration with its default and a sentence. The environment names, the flags, the
 * reference in the README and the messages about bad values are all made from this.
 */
const everyKey = z.strictObject({
  host: z.string().min(1).default('127.0.0.1').describe('The address that the server listens on.'),
  port: port.default(5984).describe('The port that the server listens on; 0 takes a free one.'),
  data: z.string().min(1).default('./data').describe('The data directory; it is made when it is missing.'),
  admins: z.record(adminName, z.string().min(1)).default({}).meta({
    description: 'Server admins: names with passwords, in clear text or hashed as CouchDB does.',
    allowed:
      'names (without : or comma, not beginning with _) with passwords; in the environment NAME:PASSWORD[,NAME:PASSWORD…]',
    secret: true,
  }),
  secretFile: z
    .string()
    .min(1)
    .optional()
    .describe(
      'A file with the secret that signs cookies; one in the data directory is used when it is not given.',
    ),
  session: session.prefault({}),
  balancing: balancing.prefault({}),
  auth: auth.prefault({}),
  jwt: jwtSchema.prefault({}),
  proxy: proxySchema.prefault({}),
  passwords: passwords.prefault({}),
  lockout: lockout.prefault({}),
  users: users.prefault({}),
  perUser: perUser.prefault({}),
  log: log.prefault({}),
  cors: cors.prefault({}),
  limits: limits.prefault({}),
  compression: compression.prefault({}),
  attachments: attachments.prefault({}),
  store: store.prefault({}),
  compaction: compaction.prefault({}),
  functions: functions.prefault({}),
  replication: replication.prefault({}),
  upstream: upstream.prefault({}),
  databases: databaseRules,
  conflicts: conflicts.prefault({}),
  journal: journal.prefault({}),
});

/**
 * The same, but for ways to log in that would let nobody in, or everybody, for rules without what they need, and for what
 * would be purged while it may be undone.
 */
export const configSchema = everyKey.superRefine((config, context) => {
  const {
    auth: { handlers },
    jwt,
    proxy,
  } = config;
  const isUsable = {
    cookie: true,
    default: true,
    jwt: Object.keys(jwt.keys).length > 0,
    proxy: proxy.secret !== undefined,
  };
  if (!handlers.every((handler) => isUsable[handler]))
    context.addIssue({ code: 'custom', path: ['auth', 'handlers'] });
  const path = misfit(config);
  if (path !== undefined) context.addIssue({ code: 'custom', path });
  if (!isPurgeable(config)) context.addIssue({ code: 'custom', path: ['conflicts', 'purgeResolvedAfter'] });
});

/** What may be given of the configuration: any of its keys. */
export type ConfigValues = z.input<typeof configSchema>;

/** The whole configuration, checked, with defaults filled in. */
export type Config = z.infer<typeof configSchema>;
