import { setTimeout } from 'node:timers/promises';
import { Answered, type Login, Refusal, type Server, serverAt } from './server.js';

/** What the gateway's account may do: see couchdb/README.md. */
export const LEVELS = ['member', 'database-admin', 'server-admin'] as const;
export type Level = (typeof LEVELS)[number];

export interface SetUp {
  readonly url: string;
  readonly admin: Login;
  readonly account: Login;
  readonly level: Level;
  readonly databases: readonly string[];
  /** Lets the account into the databases. */
  readonly role: string;
  /** Is told of each step. */
  readonly say: (line: string) => void;
}

/** `_global_changes` is where `_db_updates` is kept, by which mirrors are woken. */
const SYSTEM = ['_users', '_replicator', '_global_changes'];

/** Does what is not done yet. @throws Refusal */
export async function setUp({ url, admin, account, level, databases, role, say }: SetUp): Promise<void> {
  const server = serverAt(url, admin);
  const session = await server.get<{ userCtx: { roles: string[] } }>('_session');
  if (!session.userCtx.roles.includes('_admin')) throw new Refusal(`${admin.name} is no server admin there`);
  for (const name of [...SYSTEM, ...databases]) say(`${name}: ${await makeDatabase(server, name)}`);
  const isKnown = (await rolesOf(url, account)) !== undefined;
  if (level === 'server-admin')
    say(`server admin ${account.name}: ${await makeAdmin(server, account, isKnown)}`);
  else say(`user ${account.name}: ${await makeUser(server, account, role, isKnown)}`);
  const isRight = (roles: readonly string[] | undefined): boolean =>
    roles?.includes('_admin') === (level === 'server-admin');
  const roles = await eventually(() => rolesOf(url, account), isRight);
  if (!isRight(roles))
    throw new Refusal(
      roles === undefined
        ? `${account.name} cannot log in there`
        : `${account.name} has the roles ${JSON.stringify(roles)} there, which are others than those of a ${level}`,
    );
  if (level === 'server-admin') return;
  for (const name of databases) say(`_security of ${name}: ${await letIn(server, name, level, role)}`);
}

const isThere = 'is there';
const isMade = 'made';

async function makeDatabase(server: Server, name: string): Promise<string> {
  const path = encodeURIComponent(name);
  if ((await server.find(path)) !== undefined) return isThere;
  await server.put(path, undefined);
  return isMade;
}

/** What roles somebody has; undefined where name and password do not let in. */
async function rolesOf(url: string, login: Login): Promise<readonly string[] | undefined> {
  try {
    const { userCtx } = await serverAt(url, login).get<{ userCtx: { name: string | null; roles: string[] } }>(
      '_session',
    );
    return userCtx.name === login.name ? userCtx.roles : undefined;
  } catch (error) {
    if (error instanceof Answered && error.status === 401) return undefined;
    throw error;
  }
}

async function makeUser(
  server: Server,
  { name, password }: Login,
  role: string,
  isKnown: boolean,
): Promise<string> {
  const id = `org.couchdb.user:${name}`;
  const path = `_users/${encodeURIComponent(id)}`;
  const known = await server.find<{ roles?: string[] }>(path);
  const roles = known?.roles ?? [];
  if (isKnown && roles.includes(role)) return isThere;
  await server.put(path, {
    _id: id,
    type: 'user',
    name,
    ...known,
    roles: [...new Set([...roles, role])],
    ...(!isKnown && { password }),
  });
  return known === undefined ? isMade : 'changed';
}

/** Each node has admins of its own; they need the same hash, so that each knows the sessions that another began. */
async function makeAdmin(server: Server, { name, password }: Login, isKnown: boolean): Promise<string> {
  const { cluster_nodes: nodes } = await server.get<{ cluster_nodes: string[] }>('_membership');
  const at = (node: string): string =>
    `_node/${encodeURIComponent(node)}/_config/admins/${encodeURIComponent(name)}`;
  const hashes = await Promise.all(nodes.map((node) => server.find<string>(at(node))));
  const [first = '_local', ...others] = nodes;
  if (isKnown && new Set(hashes).size === 1 && hashes[0] !== undefined) return isThere;
  if (hashes[0] === undefined || !isKnown) await server.put(at(first), password);
  // CouchDB hashes what it was given a moment later.
  const hash = await eventually(
    () => server.get<string>(at(first)),
    (text) => text !== password,
  );
  for (const node of others) await server.put(`${at(node)}?raw=true`, hash);
  return hashes[0] === undefined ? isMade : 'changed';
}

const PAUSE_MS = 1000;
/** CouchDB locks out who is wrong five times. */
const MOST_PAUSES = 3;

/** Asks until the answer is as it should be, or for so long that it will not be. */
async function eventually<T>(ask: () => Promise<T>, isRight: (answer: T) => boolean): Promise<T> {
  for (let pauses = 0; ; pauses++) {
    const answer = await ask();
    if (isRight(answer) || pauses === MOST_PAUSES) return answer;
    await setTimeout(PAUSE_MS);
  }
}

interface Side {
  names?: string[];
  roles?: string[];
}

/** Nobody else gets in by that, and nobody is shut out: where a database is open to all, so is it to the gateway. */
async function letIn(server: Server, name: string, level: Level, role: string): Promise<string> {
  const path = `${encodeURIComponent(name)}/_security`;
  const security = await server.get<Record<string, Side>>(path);
  const side = level === 'member' ? 'members' : 'admins';
  const { names = [], roles = [] } = security[side] ?? {};
  if (side === 'members' && names.length + roles.length === 0) return 'is open to all';
  if (roles.includes(role)) return isThere;
  await server.put(path, { ...security, [side]: { names, roles: [...roles, role] } });
  return 'changed';
}
