import type { Logger } from 'pino';
import type { Users } from '../auth/users/users.js';
import type { Config } from '../config/schema.js';
import { connectionsWithin } from '../observe/handles.js';
import type { Tasks } from '../observe/tasks.js';
import type { Databases } from '../store/databases.js';
import type { DocumentLimits } from '../store/document.js';
import { BodyBudget } from './body-budget.js';
import { Compression } from './compression.js';
import { Connections } from './connections.js';
import { Cors } from './cors.js';
import type { Exchange } from './exchange.js';
import { Feeds } from './feeds.js';
import { Uuids } from './ids.js';
import { typePattern } from './intake.js';
import { Patience } from './patience.js';
import type { Authenticator, Services } from './services.js';

/** The version of CouchDB that clients are told; some decide by it what they may ask for. */
export const COUCHDB_VERSION = '3.5.0';

/** Why an answer need not go on: nobody asks, and an error made for each would cost more than a short answer does. */
const OVER = 'over';

/** What all requests share. */
export class Server {
  readonly config: Config;
  readonly databases: Databases;
  readonly auth: Authenticator;
  readonly users: Users;
  readonly log: Logger;
  readonly tasks: Tasks;
  readonly identity: Services['server'];
  readonly cors: Cors;
  readonly uuids = new Uuids();
  readonly bodies: BodyBudget;
  readonly connections: Connections;
  readonly feeds: Feeds;
  readonly patience: Patience;
  readonly compression: Compression;
  /** What a document may not exceed. */
  readonly documents: Required<DocumentLimits>;
  /** Content types of attachments that are compressed. */
  readonly compressible: RegExp;
  /** What the Server header says. */
  readonly name: string;
  readonly #streams = new Set<AbortController>();
  #closing = false;

  constructor(services: Services) {
    this.config = services.config;
    this.databases = services.databases;
    this.auth = services.auth;
    this.users = services.users;
    this.log = services.log;
    this.tasks = services.tasks;
    this.identity = services.server;
    const { limits } = services.config;
    this.bodies = new BodyBudget(limits.maxBodyMemory);
    this.connections = new Connections({ ...limits, maxConnections: connectionsWithin(limits) });
    this.feeds = new Feeds(limits);
    this.patience = new Patience(limits);
    this.compression = new Compression(services.config.compression);
    const { maxDocumentSize: maxSize, maxDocumentIdLength: maxIdLength = Infinity } = limits;
    this.documents = { maxSize, maxIdLength };
    this.cors = new Cors(services.config.cors);
    this.compressible = typePattern(services.config.attachments.compressibleTypes);
    this.name = `CouchDB/${COUCHDB_VERSION} (Causeway ${services.server.version})`;
  }

  get closing(): boolean {
    return this.#closing;
  }

  /** How many answers are being streamed. */
  get streams(): number {
    return this.#streams.size;
  }

  /** Fires when the answer need not go on: its client has left, or the server stops. */
  track(exchange: Exchange): AbortSignal {
    if (exchange.response.destroyed) return AbortSignal.abort();
    const controller = new AbortController();
    this.#streams.add(controller);
    exchange.response.once('close', () => {
      this.#streams.delete(controller);
      // Of one that is sent to its end nobody waits for that.
      if (!exchange.response.writableFinished) controller.abort(OVER);
    });
    if (this.#closing) controller.abort(OVER);
    return controller.signal;
  }

  /** Ends what would otherwise go on for ever. */
  close(): void {
    this.#closing = true;
    for (const controller of this.#streams) controller.abort(OVER);
  }

  /** Writes down a failure that the client is told nothing of but the id of its request. */
  report(exchange: Exchange, error: unknown): void {
    const { id, request } = exchange;
    this.log.error({ err: error, request: id, method: request.method, url: request.url }, 'a request failed');
  }
}
