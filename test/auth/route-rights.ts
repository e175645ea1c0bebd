import http from 'node:http';
import type { Route } from '../../src/http/app.js';
import { pathOf } from '../http/route-paths.js';

/** Who asks, in the order of the table: each may do what those before may, and more. */
export const KINDS = ['anonymous', 'stranger', 'member', 'databaseAdmin', 'serverAdmin'] as const;

/** A server that speaks CouchDB's protocol, and its admin. */
export interface Server {
  /** Without a slash at the end. */
  readonly url: string;
  /** `name:password` */
  readonly admin: string;
}

/** The statuses with which a server answers each route, in the order of `KINDS`: `401 403 200 200 200`. */
export type Answers = Readonly<Record<string, string>>;

const PASSWORD = 'rights';
const USERS = ['stranger', 'member', 'databaseAdmin'] as const;
const userNamed = (kind: string): string => `rights-${kind.toLowerCase()}`;

const SECURITY = {
  admins: { names: [userNamed('databaseAdmin')], roles: [] },
  members: { names: [userNamed('member')], roles: [] },
};
const DATABASE = 'rights-private';
const PARTITIONED_DATABASE = 'rights-partitioned';
const USERS_DATABASE = '_users';

/** What may be asked of a partition, behind its name: requests that one route hands on to others. */
const IN_PARTITION = [
  ['GET', ''],
  ['GET', '/_all_docs'],
  ['POST', '/_all_docs/queries'],
  ['POST', '/_find'],
  ['POST', '/_explain'],
  ['GET', '/_index'],
  ['POST', '/_index'],
  ['DELETE', '/_index/some/json/some'],
  ['GET', '/_design/some/_view/some'],
  ['GET', '/_design/some/_info'],
  ['GET', '/_security'],
] as const;

/**
 * Asks each route in a database with members, and those of a database in `_users`, too, as everybody; then what there is
 * in a partition.
 */
export async function askEverybody(server: Server, routes: readonly Route[]): Promise<Answers> {
  const peer = new Peer(server);
  await peer.makeUsers();
  try {
    const answers: Record<string, string> = {};
    await peer.prepare('/:db');
    for (const { method, path } of routes) {
      const sent = method === '*' ? methodBeside(routes, path) : method;
      const rev = await peer.prepare(path);
      answers[`${method} ${path}`] = await peer.ask(sent, pathOf(path, DATABASE) + rev);
      if (!path.startsWith('/:db/')) continue;
      const ofUsers = path.replace(':db', USERS_DATABASE);
      answers[`${method} ${ofUsers}`] = await peer.ask(sent, pathOf(ofUsers, DATABASE));
    }
    await peer.makeDatabase(PARTITIONED_DATABASE, '?partitioned=true');
    for (const [method, inside] of IN_PARTITION) {
      const path = `/:partitioned/_partition/some${inside}`;
      answers[`${method} ${path}`] = await peer.ask(
        method,
        path.replace(':partitioned', PARTITIONED_DATABASE),
      );
    }
    return answers;
  } finally {
    await peer.tidy();
  }
}

/** A method that the path does not allow. */
function methodBeside(routes: readonly Route[], path: string): string {
  const allowed = new Set(routes.filter((route) => route.path === path).map(({ method }) => method));
  return ['PUT', 'DELETE', 'POST', 'GET'].find((method) => !allowed.has(method)) ?? 'PATCH';
}

/** A body that the route can take, or comes to read only once the right is judged. */
const bodyFor = (path: string): unknown => (path.endsWith('_limit') ? 1000 : {});

/** After a request to these, others would be answered otherwise. */
const CHANGING: ReadonlySet<string> = new Set(['/:db', '/:db/_security', '/:db/_design/:name']);

class Peer {
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

  constructor(private readonly server: Server) {}

  async makeUsers(): Promise<void> {
    for (const kind of USERS) {
      const name = userNamed(kind);
      const user = { name, type: 'user', roles: [], password: PASSWORD };
      await this.#send('PUT', `/${USERS_DATABASE}/org.couchdb.user:${name}`, 'serverAdmin', user);
    }
  }

  /**
   * Puts right what requests to this path change: the database, who may use it, its design document.
   * @returns what the path needs behind it, so that nothing but a right is missing
   */
  async prepare(path: string): Promise<string> {
    if (!CHANGING.has(path)) return '';
    const design = await this.makeDatabase(DATABASE);
    if (path !== '/:db/_design/:name') return '';
    const { _rev } = JSON.parse((await this.#send('GET', design, 'serverAdmin')).text) as { _rev: string };
    return `?rev=${_rev}`;
  }

  /** A database with members and an admin. @returns the path of its design document */
  async makeDatabase(name: string, query = ''): Promise<string> {
    await this.#send('PUT', `/${name}${query}`, 'serverAdmin', {});
    await this.#send('PUT', `/${name}/_security`, 'serverAdmin', SECURITY);
    const design = `/${name}/_design/some`;
    await this.#send('PUT', design, 'serverAdmin', {});
    return design;
  }

  async ask(method: string, path: string): Promise<string> {
    const statuses: number[] = [];
    for (const kind of KINDS) statuses.push((await this.#send(method, path, kind, bodyFor(path))).status);
    return statuses.join(' ');
  }

  async tidy(): Promise<void> {
    for (const name of [DATABASE, PARTITIONED_DATABASE])
      await this.#send('DELETE', `/${name}`, 'serverAdmin');
    const users = USERS.map((kind) => `org.couchdb.user:${userNamed(kind)}`);
    // Server admins may write that one, and did.
    for (const id of [...users, '_design/some']) {
      const path = `/${USERS_DATABASE}/${id}`;
      const { _rev } = JSON.parse((await this.#send('GET', path, 'serverAdmin')).text) as { _rev: string };
      await this.#send('DELETE', `${path}?rev=${_rev}`, 'serverAdmin');
    }
    this.#agent.destroy();
  }

  #send(method: string, path: string, kind: (typeof KINDS)[number], json?: unknown) {
    const { url, admin } = this.server;
    const credentials = kind === 'serverAdmin' ? admin : `${userNamed(kind)}:${PASSWORD}`;
    const text = json === undefined || method === 'GET' || method === 'HEAD' ? '' : JSON.stringify(json);
    const headers = {
      accept: 'application/json',
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(text),
      destination: 'other',
      ...(kind !== 'anonymous' && { authorization: `Basic ${Buffer.from(credentials).toString('base64')}` }),
    };
    return new Promise<{ status: number; text: string }>((resolve, reject) => {
      const request = http.request(`${url}${path}`, { method, headers, agent: this.#agent }, (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (body += chunk));
        response.on('error', reject);
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text: body }));
      });
      request.on('error', reject);
      request.end(text);
    });
  }
}
