import { readFile } from 'node:fs/promises';
import type { Agent } from 'undici';
import type { AuthHeaders, AuthResult, Client } from '../auth/auth.js';
import { isServerAdmin, type UserContext } from '../auth/usercontext.js';
import type { ChangesFilter } from '../changes/query.js';
import type { Config } from '../config/schema.js';
import { forbidden, unauthorized } from '../errors.js';
import { inTurns } from '../json/turns.js';
import { newAgent } from '../replication/http/agent.js';
import { HttpPeer } from '../replication/http/peer.js';
import { type EndpointIdentity, identifying, type ReplicationId } from '../replication/id.js';
import type { LocalPeerOptions } from '../replication/local/options.js';
import { LocalPeer } from '../replication/local/peer.js';
import type { JsonObject, Peer } from '../replication/peer.js';
import type { Database } from '../store/types/database.js';
import { accessFor, type AccessServices } from './access.js';
import type { Endpoint } from './endpoint.js';
import { filterCode } from './filter-code.js';
import type { JobSpec } from './jobs.js';
import { guardedLookup, mayFollow, requireAddresses, requireOrigin, type Resolve } from './origins.js';
import type { OwnServer } from './own-server.js';
import type { ReplicationRequest } from './request.js';

export interface PeerServices extends AccessServices {
  /** Read at each use: it may change. */
  readonly config: Pick<Config, 'replication'>;
  /** Finds out whose credentials somebody gave for this server. @throws CouchError 401 and others */
  authenticate(headers: AuthHeaders, client: Client): Promise<AuthResult>;
  /** Who an account is now; undefined where it is gone. @throws CouchError */
  accountOf(name: string): Promise<UserContext | undefined>;
  /**
   * A filter of a database here that is a function.
   * @param user for whom documents are chosen
   * @param name as `filter` of `_changes` has it; `_view` for the map function that the parameters name
   * @throws CouchError 404 where there is none
   */
  filter(db: Database, user: UserContext, name: string, parameters: JsonObject): Promise<ChangesFilter>;
  /** Whether a database that has its name here is at another server, to which requests are passed on. */
  isElsewhere(database: string): boolean;
  /** What the rules for documents are at the moment. */
  limits(): Pick<LocalPeerOptions, 'documents' | 'attachments'>;
  readonly resolve: Resolve;
  /** Tells the replications of this server from those of others. */
  readonly uuid: string;
}

/** For whom a replication runs. */
export type Behalf = Pick<JobSpec, 'as' | 'hasAccount'>;

/** Both sides of a replication. Must be closed. */
export interface OpenedPeers {
  readonly source: Peer;
  readonly target: Peer;
  close(): Promise<void>;
}

/** Where failed log-ins of replications are counted: nobody's keep the replications of somebody else out. */
const clientOf = ({ name }: UserContext): Client => ({
  secure: false,
  address: `replicator of ${name ?? 'nobody'}`,
});

/** Headers that say who sends a request. */
const CREDENTIALS = new Set(['authorization', 'cookie', 'proxy-authorization']);

/** Makes the peers of replications. */
export class Peers {
  constructor(
    private readonly services: PeerServices,
    private readonly own: OwnServer,
  ) {}

  /** Refuses what a user may not name. @throws CouchError 403 */
  require({ source, target }: Pick<ReplicationRequest, 'source' | 'target'>, isAdmin: boolean): void {
    for (const endpoint of [source, target]) {
      const database = this.#databaseOf(endpoint);
      if (database === undefined) requireOrigin(endpoint.url, isAdmin, this.services.config.replication);
      else if (this.services.isElsewhere(database))
        throw forbidden(`${database} is at the upstream: a replication has to name its URL there.`);
    }
  }

  /**
   * Whether those for whom a replication runs are server admins, who may name other servers: as things are now, for they
   * may have been when they asked for it. @throws CouchError 403 for what they may not name
   */
  async judge(request: ReplicationRequest, { as, hasAccount }: Behalf): Promise<boolean> {
    if (this.#remote(request).length === 0) return false;
    const who = hasAccount && as.name !== null ? await this.services.accountOf(as.name) : as;
    const isAdmin = who !== undefined && isServerAdmin(who);
    this.require(request, isAdmin);
    return isAdmin;
  }

  #remote({ source, target }: ReplicationRequest): readonly Endpoint[] {
    return [source, target].filter((one) => this.#databaseOf(one) === undefined);
  }

  /** @throws CouchError 403 for what may not be connected to */
  async open(request: ReplicationRequest, behalf: Behalf, signal: AbortSignal): Promise<OpenedPeers> {
    const isAdmin = await this.judge(request, behalf);
    const remote = this.#remote(request);
    for (const { url } of remote) await requireAddresses(url, this.services.resolve, signal);
    const ca = remote.length === 0 ? undefined : await this.#ownAuthorities();
    const agents: Agent[] = [];
    const peerOf = (endpoint: Endpoint): Peer => {
      const name = this.#databaseOf(endpoint);
      if (name !== undefined) return this.#localPeer(name, endpoint, behalf);
      // Each side has connections of its own: what is read from one server may have to be written to the same.
      const agent = this.#newAgent(request, ca);
      agents.push(agent);
      return this.#httpPeer(endpoint, request, isAdmin, agent);
    };
    const [source, target] = [peerOf(request.source), peerOf(request.target)];
    const close = async (): Promise<void> => {
      await Promise.all([source.close(), target.close()]);
      await Promise.all(agents.map((agent) => agent.destroy()));
    };
    return { source, target, close };
  }

  /** Names a replication; the code of a filter function is part of what it is. @throws CouchError 404 where there is none */
  async identify(request: ReplicationRequest, behalf: Behalf, signal: AbortSignal): Promise<ReplicationId> {
    const { filter } = request.options;
    const filterCode = isFilterFunction(filter)
      ? await this.#filterCode(filter, request, behalf, signal)
      : undefined;
    const identity = {
      serverUuid: this.services.uuid,
      source: identityOf(request.source, behalf.as),
      target: identityOf(request.target, behalf.as),
      options: request.options,
      ...(filterCode !== undefined && { filterCode }),
    };
    return inTurns(identifying(identity));
  }

  async #filterCode(
    filter: string,
    request: ReplicationRequest,
    behalf: Behalf,
    signal: AbortSignal,
  ): Promise<string> {
    const peers = await this.open({ ...request, target: request.source }, behalf, signal);
    try {
      return await filterCode(peers.source, filter, signal);
    } finally {
      await peers.close();
    }
  }

  #databaseOf({ database, url }: Endpoint): string | undefined {
    return database ?? this.own.databaseAt(url);
  }

  async #ownAuthorities(): Promise<Buffer | undefined> {
    const { caFile } = this.services.config.replication;
    return caFile === undefined ? undefined : readFile(caFile);
  }

  #newAgent({ http }: ReplicationRequest, ca: Buffer | undefined): Agent {
    return newAgent({
      connections: http.connections,
      lookup: guardedLookup(this.services.resolve),
      ...(ca !== undefined && { ca }),
    });
  }

  #httpPeer(endpoint: Endpoint, { http }: ReplicationRequest, isAdmin: boolean, dispatcher: Agent): Peer {
    const rules = this.services.config.replication;
    return new HttpPeer({
      url: endpoint.url,
      headers: endpoint.headers,
      dispatcher,
      timeout: http.timeout,
      mayFollow: (to) => mayFollow(endpoint.url, to, isAdmin, rules),
    });
  }

  /** A database that was named by a URL is used with the credentials that came with it, and no others. */
  #localPeer(name: string, { url, headers, database }: Endpoint, behalf: Behalf): Peer {
    const { services } = this;
    const who = async (): Promise<UserContext> =>
      database === undefined
        ? (await services.authenticate(headers, clientOf(behalf.as))).user
        : this.#asNow(behalf);
    const { documents, attachments } = services.limits();
    return new LocalPeer({
      name: url,
      access: accessFor(name, who, services),
      documents,
      attachments,
      filter: async (db, filter, parameters) => services.filter(db, await who(), filter, parameters),
    });
  }

  /** An account may lose its rights, or be deleted, while its replications go on. @throws CouchError 401 */
  async #asNow({ as, hasAccount }: Behalf): Promise<UserContext> {
    if (!hasAccount || as.name === null) return as;
    const account = await this.services.accountOf(as.name);
    if (account === undefined) throw unauthorized('The account that began the replication is gone.');
    return account;
  }
}

/** Others are built in. */
export const isFilterFunction = (filter: string | undefined): filter is string =>
  filter !== undefined && !filter.startsWith('_');

const identityOf = ({ url, user, headers, database }: Endpoint, as: UserContext): EndpointIdentity => ({
  name: url,
  user: database === undefined ? user : as.name,
  headers: Object.fromEntries(Object.entries(headers).filter(([header]) => !CREDENTIALS.has(header))),
});
