import { z } from 'zod';
import { mergeSchema } from './merge-schema.js';
import { milliseconds } from './numbers.js';

/** The address of a server that may name a user. A password would be shown to whoever sees the address. */
function isServerUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, password, search, hash } = new URL(text);
  return /^https?:$/.test(protocol) && password === '' && search === '' && hash === '';
}

const file = (description: string): z.ZodOptional<z.ZodString> =>
  z.string().min(1).optional().describe(description);

/** People who log in here with what they have there. */
const accounts = z.strictObject({
  enabled: z.boolean().default(false).meta({
    description:
      'Whether names and passwords that no account here has are checked at the upstream, so that people log in with what they have there.',
    allowed: 'true or false; true where there is an upstream.url',
  }),
  remember: milliseconds(604_800_000).describe(
    'How long the upstream’s word on somebody counts while it is away, in milliseconds (a week).',
  ),
  recheck: milliseconds(600_000).describe(
    'The time after which somebody is checked there again when they are next seen, in milliseconds.',
  ),
});

/** The server behind this one. */
export const upstream = z.strictObject({
  url: z.string().refine(isServerUrl).optional().meta({
    description: 'The CouchDB behind this gateway, or a server that speaks as it does.',
    allowed: 'a URL such as https://couch.example.org:6984, which may name a user, yet holds no password',
    flag: '--upstream',
  }),
  username: z
    .string()
    .regex(/^[^:]+$/)
    .optional()
    .meta({
      description:
        'The account there that the gateway itself uses; the one that the URL names, if not given.',
      allowed: 'a name without :',
    }),
  password: z.string().min(1).optional().meta({
    description: 'Its password, if no file has it.',
    allowed: 'a text that is not empty',
    secret: true,
  }),
  passwordFile: file('A file with the password of that account.'),
  caFile: file(
    'A file with the certificates (PEM) that are trusted instead of those of the system; certificates are always verified.',
  ),
  proxySecretFile: file(
    'A file with the secret that the upstream signs its cookies with (`secret` of `chttpd_auth`): requests that are passed on then say by CouchDB’s proxy authentication who sent them. Whoever knows it can be anybody there.',
  ),
  maxConnections: z
    .int()
    .min(20)
    .default(1000)
    .describe('How many connections to the upstream there may be.'),
  maxFeeds: z
    .int()
    .min(1)
    .default(900)
    .describe('How many of them feeds that wait for changes may take; at least ten fewer than all.'),
  connectTimeout: milliseconds(10_000).describe(
    'The time within which a connection has to be there, in milliseconds.',
  ),
  timeout: milliseconds(300_000).describe(
    'The silence after which a request to the upstream is given up, in milliseconds.',
  ),
  probeInterval: milliseconds(30_000).describe(
    'The time after which the upstream is looked at when nothing was heard of it, in milliseconds.',
  ),
  firstRetry: milliseconds(1000).describe(
    'The longest wait before it is looked at again once it is away, in milliseconds; it doubles each time.',
  ),
  longestRetry: milliseconds(300_000).describe('What that wait grows to at most, in milliseconds.'),
  maxMirrorsRunning: z
    .int()
    .min(1)
    .default(50)
    .describe(
      'How many mirrors exchange changes with the upstream at once, if feeds leave two connections for each; others wait.',
    ),
  pollInterval: milliseconds(60_000).describe(
    'The time within which each mirror is looked at, in milliseconds, where the upstream does not tell of changes.',
  ),
  mirrorIdle: milliseconds(60_000).describe(
    'The time after which a mirror of which nothing changes lets go of its connections, in milliseconds.',
  ),
  allowDelete: z
    .boolean()
    .default(false)
    .describe(
      'Whether `DELETE` of a mirrored database deletes it, upstream and here; never one that is mirrored in part.',
    ),
  accounts: accounts.prefault({}),
});

/** How the databases that a pattern matches are kept. */
const rule = z.strictObject({
  match: z.string().regex(/^[a-z*?][a-z0-9_$()+/*?-]*$/),
  mode: z.enum(['local', 'mirror', 'proxy']),
  start: z.enum(['eager', 'on-demand']).optional(),
  direction: z.enum(['both', 'pull', 'push']).optional(),
  /** Mango. */
  selector: z.record(z.string(), z.unknown()).optional(),
  docIds: z.array(z.string().min(1)).min(1).optional(),
  createOffline: z.boolean().optional(),
  merge: mergeSchema.optional(),
});

export const databaseRules = z.array(rule).default([]).meta({
  description:
    'Where databases are, by their names: the first rule that matches counts (`*` is any text, `?` any character). `local` is here, `proxy` upstream, `mirror` in step with it. `_…` is always local; see below for the rest.',
  allowed:
    'a list of rules such as {match: archive-*, mode: proxy} with the modes local, mirror and proxy; mirrors may have start (eager, on-demand), direction (both, pull, push), selector or docIds, createOffline; those and local databases may have merge (a function such as three-way, {function, …}, {module}, {design}, or a list of such with a selector); where there is an upstream.url the last rule matches *, where there is none all are local',
});

interface Upstream {
  readonly upstream: z.infer<typeof upstream>;
  readonly databases: z.infer<typeof databaseRules>;
}

/** The key whose value does not fit the others; undefined where all is well. */
export function misfit({ upstream, databases }: Upstream): string[] | undefined {
  if (!areUsable(upstream.url, databases)) return ['databases'];
  if (upstream.accounts.enabled && upstream.url === undefined) return ['upstream', 'accounts', 'enabled'];
  return upstream.maxFeeds <= upstream.maxConnections - 10 ? undefined : ['upstream', 'maxFeeds'];
}

/** What applies to the names that no rule matches is to be said, where there are rules. */
function areUsable(url: string | undefined, rules: Upstream['databases']): boolean {
  if (url === undefined) return rules.every(({ mode }) => mode === 'local');
  return (rules.length === 0 || rules.at(-1)?.match === '*') && rules.every(isConsistent);
}

/** What only mirrors have. */
const OPTIONS = ['start', 'direction', 'selector', 'docIds', 'createOffline'] as const;

/** Only mirrors have options, a part of a database is chosen in one way, and what is upstream is not merged here. */
function isConsistent(one: Upstream['databases'][number]): boolean {
  if (one.mode === 'proxy' && one.merge !== undefined) return false;
  if (one.mode !== 'mirror') return OPTIONS.every((option) => one[option] === undefined);
  return one.selector === undefined || one.docIds === undefined;
}
