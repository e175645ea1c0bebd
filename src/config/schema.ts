import { z } from 'zod';
import { conflicts, isPurgeable, journal } from './conflicts-schema.js';
import { cors } from './cors-schema.js';
import { jwtSchema } from './jwt.js';
import { limits } from './limits-schema.js';
import { bytes, count, milliseconds, MiB } from './numbers.js';
import { proxySchema } from './proxy.js';
import { replication } from './replication-schema.js';
import { databaseRules, misfit, upstream } from './upstream-schema.js';
import { auth, lockout, passwords, perUser, session, users } from './users-schema.js';

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

const port = z.int().min(0).max(65_535);

/** What an admin may be called. */
export const adminName = z.string().regex(/^[^_:,\s][^:,]*$/);

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

const log = z.strictObject({
  level: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
    .default('info')
    .describe('The least severe level that is logged.'),
  requests: z.boolean().default(false).describe('Whether each request is logged, and not only failing ones.'),
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
  maintenance: z
    .enum(['off', 'nolb', 'on'])
    .default('off')
    .describe(
      'Whether load balancers are told to send nobody here (`maintenance_mode` of `couchdb`): `/_up` is 404 and `/_gateway/ready` 503; `nolb` and `on` differ in the status that is told. All else is answered as ever.',
    ),
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
