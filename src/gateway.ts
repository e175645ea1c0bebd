import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { Auth } from './auth/auth.js';
import { UpstreamAccounts } from './auth/elsewhere/accounts.js';
import { derivePassword, isHashed, parseHash, verifyPassword } from './auth/password.js';
import { PerUser } from './auth/users/per-user.js';
import { Users } from './auth/users/users.js';
import { cookieSecret, type PasswordHasher } from './config/admins.js';
import { cannotWrite, openDataDirectory } from './config/datadir.js';
import { exitCodes, StartError } from './config/exit.js';
import type { LoadedConfig } from './config/load.js';
import type { Config } from './config/schema.js';
import { Settings } from './config/settings.js';
import { ConflictEngine, type EngineOptions } from './conflicts/engine.js';
import { BuiltInThread } from './conflicts/sources/builtin/thread.js';
import { MergeFunctions, type MergeFunctionsOptions } from './conflicts/sources/merge-functions.js';
import { QuickJsSandbox } from './design/sandbox.js';
import { ValidatedView } from './design/validation.js';
import { buildApp } from './http/app.js';
import { createReplicator, writeRules } from './http/replicator.js';
import { databasesWithin, handleWarning } from './observe/handles.js';
import { createLogger, type Logger } from './observe/log.js';
import { Tasks } from './observe/tasks.js';
import { Rejections } from './rejections/rejections.js';
import type { BaseLimits } from './store/conflicts/types.js';
import { Databases, type StoreOptions } from './store/databases.js';
import { isNoSpace } from './store/failures.js';
import { takeOver } from './takeover.js';
import { Mirrors } from './upstream/mirrors/mirrors.js';
import { UserDatabasesByRule } from './upstream/mirrors/user-databases.js';
import { PeopleThere } from './upstream/people.js';
import { Upstream } from './upstream/upstream.js';
import { version } from './version.js';
import { Views } from './views/views.js';

/** How long requests may take to end when the gateway closes. */
const GRACE_MS = 10_000;
/** How often connections that have fallen idle are looked for meanwhile. */
const IDLE_CHECK_MS = 50;

export interface GatewayOptions {
  /** Where to log; on stderr as `config.log` says when left out. */
  log?: Logger;
}

/** A running gateway. */
export interface Gateway {
  /** Where it answers, with the port that it really has. */
  readonly url: string;
  /** The data directory, absolute. */
  readonly data: string;
  /** The file with the password of `admin`, when the configuration names no admin. */
  readonly passwordFile: string | undefined;
  /** Reads the configuration again. @throws StartError where it is wrong; nothing changes then */
  reload(): Promise<void>;
  /** Ends the feeds, finishes the requests and writes under way, and closes the store. */
  close(): Promise<void>;
}

/**
 * Builds a gateway's parts in order and starts it.
 * Throws a `StartError` when the data directory or the address cannot be used; nothing stays open then.
 */
export async function createGateway(loaded: LoadedConfig, options: GatewayOptions = {}): Promise<Gateway> {
  const { config } = loaded;
  const log = options.log ?? createLogger(config.log);
  const parts = new AsyncStack();
  try {
    return await start(loaded, log, parts);
  } catch (error) {
    await parts.close();
    throw isNoSpace(error) && !(error instanceof StartError) ? cannotWrite(config.data, error) : error;
  }
}

const hasher: PasswordHasher = {
  hash: async (clear, how) => (await derivePassword(clear, how)).text,
  verify: verifyPassword,
  isHashed,
  isKnown: (text) => parseHash(text) !== undefined,
};

async function start(loaded: LoadedConfig, log: Logger, parts: AsyncStack): Promise<Gateway> {
  const warning = handleWarning(loaded.config.limits.maxDbsOpen);
  if (warning) log.warn(warning);

  const directory = await openDataDirectory(loaded.config.data);
  parts.add(() => directory.close());
  await takeOver(directory.path, loaded.config, log);
  const settings = await Settings.open(loaded.input, directory.path, hasher);
  const { config } = settings;
  followLevel(settings, log);
  const secret = await cookieSecret(config);

  const tasks = new Tasks();
  const compaction = compactionOptions(settings);
  const upstream = new Upstream({ config, log, uuid: directory.uuid });
  const store = storeOptions(settings, upstream);
  const databases = await Databases.open(directory.path, store, { compaction, tasks, log });
  parts.add(() => databases.close());

  const users = new Users(databases, config);
  await users.prepare().catch((error: unknown) => {
    // Admins get in without it.
    log.error({ err: error }, 'the database of the users cannot be used');
  });

  parts.add(() => upstream.close());
  settings.onChange(() => upstream.reconfigure());
  const elsewhere = new UpstreamAccounts({
    authority: new PeopleThere(upstream),
    folder: path.join(directory.path, 'upstream-accounts'),
    config,
    log,
  });
  parts.add(() => elsewhere.close());
  const auth = Auth.open({ admins: config.admins, secret, config, users, elsewhere, log });
  settings.onChange(({ admins, jwt }) => {
    auth.setAdmins(admins);
    auth.setJwt(jwt);
  });
  const sandbox = new QuickJsSandbox(functionOptions(settings), log);
  const reduceLimit = (): boolean => settings.config.functions.reduceLimit;
  const views = new Views({ databases, sandbox, reduceLimit, tasks, log });
  parts.add(() => views.close());
  // Closed before the views: an update would wait for its functions.
  parts.add(() => sandbox.close());
  const rejections = new Rejections(path.join(directory.path, 'rejections'));
  parts.add(() => rejections.close());
  const refused = new Rejections(path.join(directory.path, 'mirror-rejections'), Infinity);
  parts.add(() => refused.close());
  const limits = (): ReturnType<typeof writeRules> => writeRules(config);
  const mirrors = await Mirrors.open(
    { upstream, databases, rejections: refused, config, limits, uuid: directory.uuid, log },
    directory.path,
  );
  const ofUsers = new UserDatabasesByRule({ databases, upstream, mirrors });
  const perUser = new PerUser(databases, ofUsers, config, log);
  // Together: what the one waits for at the upstream the other ends.
  parts.add(async () => {
    ofUsers.close();
    await Promise.all([perUser.close(), mirrors.close()]);
  });
  const merging = conflictOptions(settings);
  const { limits: mergeLimits } = merging;
  const onChange = (): void => conflicts.reconfigure();
  const builtIns = new BuiltInThread();
  const mergeFunctions = new MergeFunctions({ builtIns, sandbox, limits: mergeLimits, onChange, log });
  const conflicts: ConflictEngine = new ConflictEngine({
    databases,
    ruleOf: (db) => mergeFunctions.ruleIn(db, upstream.rules.mergeOf(db.name)),
    viewOf: (db) => new ValidatedView(mirrors.view(db), sandbox, SERVER),
    bodies: mirrors.bodies,
    purge: (db, requests, signal) => mirrors.purgeBranches(db, requests, signal),
    ...merging,
    log,
  });
  // Together: what the one waits for the other ends.
  parts.add(async () => {
    const closed = conflicts.close();
    mergeFunctions.close();
    await Promise.all([builtIns.close(), closed]);
  });
  settings.onChange(() => {
    mergeFunctions.reread();
    conflicts.reconfigure();
  });
  const services = {
    settings,
    databases,
    auth,
    users,
    log,
    tasks,
    sandbox,
    views,
    upstream,
    mirrors,
    mergeFunctions,
    conflicts,
    server: { uuid: directory.uuid, version },
  };
  const replicator = createReplicator({ ...services, rejections });
  await replicator.prepare().catch((error: unknown) => {
    log.error({ err: error }, 'the database of the replications cannot be used');
  });
  const app = buildApp({ ...services, replicator });
  parts.add(() => closeApp(app, log));
  await listen(app, config);
  const url = urlOf(app.server.address() as AddressInfo);
  parts.add(() => replicator.close());
  replicator.start(url);
  upstream.start();
  mirrors.start();
  perUser.start();
  conflicts.start();

  return {
    url,
    data: directory.path,
    passwordFile: settings.passwordFile,
    reload: () => settings.reload(),
    close: () => parts.close(),
  };
}

/** The logger may have another level than the configuration; it follows that when it changes. */
function followLevel(settings: Settings, log: Logger): void {
  let { level } = settings.config.log;
  settings.onChange((config) => {
    if (config.log.level !== level) log.level = level = config.log.level;
  });
}

/** Of these, `maxOpen` and what `basesOf` says may change at any time. */
function storeOptions(settings: Settings, upstream: Pick<Upstream, 'rules'>): StoreOptions {
  const { store, limits } = settings.config;
  const basesOf = (name: string): BaseLimits | undefined => {
    const { maxAge, maxSize } = settings.config.conflicts.bases;
    return upstream.rules.mergeOf(name) && { maxAge: maxAge * DAY, maxBytes: maxSize };
  };
  const options = { ...store, maxOpen: databasesWithin(limits.maxDbsOpen), basesOf };
  settings.onChange((config) => (options.maxOpen = databasesWithin(config.limits.maxDbsOpen)));
  return options;
}

/** All of these may change at any time. */
function compactionOptions(settings: Settings): Config['compaction'] {
  const options = { ...settings.config.compaction };
  settings.onChange(({ compaction }) => Object.assign(options, compaction));
  return options;
}

/** All of these may change at any time. */
function functionOptions(settings: Settings): Config['functions'] {
  const options = { ...settings.config.functions };
  settings.onChange(({ functions }) => Object.assign(options, functions));
  return options;
}

/** Whom functions of design documents see where the server itself merges. */
const SERVER = { name: null, roles: ['_admin'] };

const DAY = 86_400_000;

/** All of these may change at any time. */
function conflictOptions(
  settings: Settings,
): Required<Pick<EngineOptions, 'limits' | 'journal' | 'branches'>> & Pick<MergeFunctionsOptions, 'limits'> {
  const read = ({
    conflicts: { timeout, patience, purgeResolvedAfter: days },
    journal,
    limits,
  }: Config): ReturnType<typeof conflictOptions> => ({
    limits: { timeout, patience, maxDocumentSize: limits.maxDocumentSize },
    journal: { minAge: journal.minAge * DAY, maxAge: journal.maxAge * DAY, maxBytes: journal.maxSize },
    branches: { maxAge: days === undefined ? undefined : days * DAY },
  });
  const options = read(settings.config);
  settings.onChange((config) => {
    const now = read(config);
    Object.assign(options.limits, now.limits);
    Object.assign(options.journal, now.journal);
    Object.assign(options.branches, now.branches);
  });
  return options;
}

type App = ReturnType<typeof buildApp>;

async function listen(app: App, { host, port }: Config): Promise<void> {
  try {
    await app.listen({ host, port });
  } catch (error) {
    const { code, message, syscall } = error as NodeJS.ErrnoException;
    if (syscall !== 'listen' && syscall !== 'getaddrinfo') throw error;
    const reason = code === 'EADDRINUSE' ? 'the port is in use' : message;
    throw new StartError([`cannot listen on ${host} port ${port}: ${reason}`], exitCodes.unavailable, {
      cause: error,
    });
  }
}

/** Requests that do not end by themselves are cut off after a while. */
async function closeApp(app: App, log: Logger): Promise<void> {
  const cut = setTimeout(() => {
    log.warn('some requests did not end; their connections are closed');
    app.server.closeAllConnections();
  }, GRACE_MS);
  // A connection whose last answer had begun before would be kept open for the next request.
  const idle = setInterval(() => app.server.closeIdleConnections(), IDLE_CHECK_MS);
  try {
    await app.close();
  } finally {
    clearTimeout(cut);
    clearInterval(idle);
  }
}

function urlOf({ address, port }: AddressInfo): string {
  // The addresses that mean "all of this machine's" are not ones to connect to.
  const host = address === '0.0.0.0' || address === '::' ? '127.0.0.1' : address;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** What was opened, to be closed once, the last first. */
class AsyncStack {
  readonly #closers: (() => Promise<void>)[] = [];
  #closed: Promise<void> | undefined;

  add(close: () => Promise<void>): void {
    this.#closers.push(close);
  }

  close(): Promise<void> {
    this.#closed ??= this.#closeAll();
    return this.#closed;
  }

  /** A part that fails to close does not keep those below it open. */
  async #closeAll(): Promise<void> {
    const errors: unknown[] = [];
    for (const close of this.#closers.toReversed())
      await close().catch((error: unknown) => errors.push(error));
    if (errors.length > 0) throw new AggregateError(errors, 'the gateway did not close cleanly');
  }
}
