import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { PasswordHasher } from '../../src/config/admins.js';
import { Settings } from '../../src/config/settings.js';
import { hashPassword, isHashed, parseHash, verifyPassword } from '../../src/auth/password.js';
import { Users } from '../../src/auth/users/users.js';
import { anonymous, type UserContext } from '../../src/auth/usercontext.js';
import { unauthorized } from '../../src/errors.js';
import { buildApp, type Services } from '../../src/http/app.js';
import { MergeFunctions } from '../../src/conflicts/sources/merge-functions.js';
import { builtIns } from '../support/merges.js';
import { QuickJsSandbox } from '../../src/design/sandbox.js';
import { Rejections } from '../../src/rejections/rejections.js';
import { createReplicator, writeRules } from '../../src/http/replicator.js';
import { createLogger } from '../../src/observe/log.js';
import { Tasks } from '../../src/observe/tasks.js';
import { Databases } from '../../src/store/databases.js';
import { Mirrors } from '../../src/upstream/mirrors/mirrors.js';
import { Upstream } from '../../src/upstream/upstream.js';
import { Views } from '../../src/views/views.js';

export type TestApp = Awaited<ReturnType<typeof startApp>>;

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly text: string;
  readonly bytes: Buffer;
  /** The body as JSON; undefined where it is none. */
  readonly body: unknown;
}

export interface RequestOptions {
  /** A name of `USERS`; the server admin when left out, `null` for nobody. */
  readonly as?: string | null;
  readonly headers?: http.OutgoingHttpHeaders;
  readonly json?: unknown;
  readonly text?: string | Buffer;
  /** Keeps connections; each request has one of its own when left out. */
  readonly agent?: http.Agent;
}

/** Who the stub of the authentication knows; a request says its name in a header of its own. */
export const USERS: Readonly<Record<string, UserContext>> = {
  admin: { name: 'admin', roles: ['_admin'] },
  dbadmin: { name: 'dbadmin', roles: ['chief'] },
  member: { name: 'member', roles: [] },
  stranger: { name: 'stranger', roles: ['other'] },
  metrics: { name: 'metrics', roles: ['_metrics'] },
};

/** Rights by name, for tests that are not about passwords. */
export const NAMES: Services['auth'] = {
  authenticate: (headers) => {
    const name = (headers as http.IncomingHttpHeaders)['x-test-user'];
    const user = typeof name === 'string' ? USERS[name] : anonymous;
    return Promise.resolve({ user: user ?? anonymous, method: undefined });
  },
  accountOf: () => Promise.resolve(undefined),
  login: ({ name, password }) =>
    Promise.resolve(
      password === 'right'
        ? { ok: true, user: { name, roles: [] }, cookie: 'AuthSession=yes' }
        : { ok: false, error: unauthorized('Name or password is incorrect.'), cookie: 'AuthSession=' },
    ),
  logout: () => 'AuthSession=',
  sessionInfo: ({ user }) => ({
    ok: true,
    userCtx: user,
    info: { authentication_handlers: ['cookie', 'default'] },
  }),
};

/** Real hashes that cost nothing. */
const CHEAP: PasswordHasher = {
  hash: (clear) => hashPassword(clear, 1),
  verify: verifyPassword,
  isHashed,
  isKnown: (text) => parseHash(text) !== undefined,
};

/** The HTTP interface over a real store in a new folder, listening on a port of its own. */
export async function startApp(
  values: Record<string, unknown> = {},
  services: Partial<Services> = {},
  tuning?: Parameters<typeof createReplicator>[1],
) {
  const folder = await mkdtemp(path.join(tmpdir(), 'causeway-test-'));
  const settings = await Settings.open({ values: { data: folder, ...values } }, folder, CHEAP);
  const { config } = settings;
  const lines: string[] = [];
  const log = createLogger({ level: 'error' }, { write: (line: string) => void lines.push(line) });
  const tasks = new Tasks();
  const { store, limits, compaction } = config;
  const databases = await Databases.open(
    folder,
    { ...store, maxOpen: limits.maxDbsOpen },
    { compaction, tasks, log },
  );
  const server = { uuid: 'f'.repeat(32), version: '0.0.0' };
  const users = new Users(databases, config);
  const sandbox = new QuickJsSandbox(config.functions, log);
  const views = new Views({
    databases,
    sandbox,
    reduceLimit: () => config.functions.reduceLimit,
    tasks,
    log,
  });
  const upstream = new Upstream({ config, log, uuid: server.uuid });
  const rejections = new Rejections(path.join(folder, 'rejections'));
  const mirrors = await Mirrors.open(
    { upstream, databases, rejections, config, limits: () => writeRules(config), uuid: server.uuid, log },
    folder,
  );
  const mergeFunctions = new MergeFunctions({
    builtIns,
    sandbox,
    limits: config.conflicts,
    onChange: () => undefined,
    log,
  });
  const parts = {
    settings,
    databases,
    auth: NAMES,
    users,
    log,
    tasks,
    sandbox,
    views,
    upstream,
    mirrors,
    mergeFunctions,
    conflicts: {
      purged: () => ({ branches: 0, refused: null }),
      purgedInAll: () => ({ branches: 0, refused: 0 }),
    },
    server,
    ...services,
  };
  const replicator = services.replicator ?? createReplicator({ ...parts, rejections }, tuning);
  const app = buildApp({ ...parts, replicator });
  await app.listen({ port: 0, host: '127.0.0.1' });
  const { port } = app.server.address() as AddressInfo;
  replicator.start(`http://127.0.0.1:${port}`);
  upstream.start();
  mirrors.start();

  return {
    app,
    port,
    folder,
    databases,
    sandbox,
    log,
    views,
    upstream,
    mirrors,
    settings,
    /** What was logged at `error`. */
    errors: lines,
    request: (method: string, url: string, options?: RequestOptions) => send(port, method, url, options),
    raw: (bytes: string | Buffer, patience?: number) => sendRaw(port, bytes, patience),
    async stop() {
      await replicator.close();
      await app.close();
      await mirrors.close();
      mergeFunctions.close();
      await rejections.close();
      await upstream.close();
      await views.close();
      await sandbox.close();
      await databases.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function send(port: number, method: string, url: string, options: RequestOptions = {}): Promise<Answer> {
  const chunked = options.headers?.['transfer-encoding'] !== undefined;
  const { as = 'admin', json, text = json === undefined ? undefined : JSON.stringify(json) } = options;
  const { agent = false } = options;
  const headers = {
    accept: 'application/json',
    ...(as !== null && { 'x-test-user': as }),
    ...(json !== undefined && { 'content-type': 'application/json' }),
    ...(text !== undefined && !chunked && { 'content-length': Buffer.byteLength(text) }),
    ...options.headers,
  };
  return new Promise((resolve, reject) => {
    const request = http.request(
      { host: '127.0.0.1', port, method, path: url, headers, agent, maxHeaderSize: 1 << 20 },
      (response) => {
        read(response).then(resolve, reject);
      },
    );
    request.on('error', reject);
    request.end(text);
  });
}

async function read(response: http.IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const bytes = Buffer.concat(chunks);
  const text = bytes.toString();
  return { status: response.statusCode ?? 0, headers: response.headers, text, bytes, body: parse(text) };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * Sends bytes as they are; resolves with everything that comes back until the server closes the connection.
 * @param patience milliseconds of silence after which we say that nothing more will come
 */
async function sendRaw(port: number, bytes: string | Buffer, patience = 0): Promise<string> {
  const socket = net.connect(port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  // A server that has seen enough may close while we still send.
  socket.on('error', () => undefined);
  socket.setTimeout(patience, () => socket.end());
  socket.write(bytes);
  await once(socket, 'close');
  return Buffer.concat(chunks).toString('latin1');
}
