import type { Logger } from 'pino';
import type { Users } from '../auth/users/users.js';
import { CouchSettings } from '../config/couch-settings.js';
import type { Config } from '../config/schema.js';
import type { Sections } from '../config/runtime.js';
import type { Settings } from '../config/settings.js';
import { Inspector } from '../conflicts/inspection.js';
import { connectionsWithin } from '../observe/handles.js';
import type { Tasks } from '../observe/tasks.js';
import type { Replicator } from '../replicator/replicator.js';
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
import { Resources } from './resources.js';
import type { Authenticator, Services } from './services.js';

/** The version of CouchDB that clients are told; some decide by it what they may ask for. */
export const COUCHDB_VERSION = '3.5.0';

/** Why an answer need not go on: nobody asks, and an error made for each would cost more than a short answer does. */
const OVER = 'over';

/** What is made of the configuration, anew after each change. */
interface Rules {
  readonly cors: Cors;
  readonly documents: Required<DocumentLimits>;
  readonly compressible: RegExp;
}

function rulesOf({ cors, limits, attachments }: Config): Rules {
  const { maxDocumentSize: maxSize, maxDocumentIdLength: maxIdLength = Infinity } = limits;
  return {
    cors: new Cors(cors),
    documents: { maxSize, maxIdLength },
    compressible: typePattern(attachments.compressibleTypes),
  };
}

/** What CouchDB's configuration says of things that are as they are. */
function fixedTexts({ server, settings }: Services): Sections {
  const { host, port } = settings.config;
  const authentication = new Map([['authentication_db', '_users']]);
  const listener = new Map([
    ['bind_address', host],
    ['port', String(port)],
  ]);
  return new Map([
    [
      'vendor',
      new Map([
        ['name', 'Causeway'],
        ['version', server.version],
      ]),
    ],
    [
      'couchdb',
      new Map([
        ['single_node', 'true'],
        ['uuid', server.uuid],
      ]),
    ],
    ['chttpd', listener],
    // Clients look into the sections of former versions without asking whether there are any.
    ['httpd', listener],
    ['chttpd_auth', new Map([...authentication, ['proxy_use_secret', 'true']])],
    ['couch_httpd_auth', authentication],
  ]);
}

/** What all requests share. */
export class Server {
  /** As it is at the moment; not to be kept. */
  readonly config: Config;
  readonly databases: Databases;
  readonly auth: Authenticator;
  readonly users: Users;
  readonly log: Logger;
  readonly tasks: Tasks;
  readonly sandbox: Services['sandbox'];
  readonly views: Services['views'];
  readonly replicator: Replicator;
  readonly upstream: Services['upstream'];
  readonly mirrors: Services['mirrors'];
  readonly mergeFunctions: Services['mergeFunctions'];
  readonly conflicts: Services['conflicts'];
  readonly identity: Services['server'];
  readonly uuids = new Uuids();
  readonly inspector = new Inspector();
  readonly bodies: BodyBudget;
  readonly connections: Connections;
  readonly feeds: Feeds;
  readonly patience: Patience;
  readonly compression: Compression;
  readonly resources: Resources;
  readonly settings: Settings;
  /** The configuration under CouchDB's names. */
  readonly couchSettings: CouchSettings;
  /** What the Server header says. */
  readonly name: string;
  readonly #streams = new Set<AbortController>();
  #closing = false;
  #rules: Rules;

  constructor(services: Services) {
    const { settings } = services;
    this.settings = settings;
    this.config = settings.config;
    this.couchSettings = new CouchSettings(settings, fixedTexts(services));
    this.#rules = rulesOf(this.config);
    settings.onChange((config) => (this.#rules = rulesOf(config)));
    this.databases = services.databases;
    this.auth = services.auth;
    this.users = services.users;
    this.log = services.log;
    this.tasks = services.tasks;
    this.sandbox = services.sandbox;
    this.views = services.views;
    this.replicator = services.replicator;
    this.upstream = services.upstream;
    this.mirrors = services.mirrors;
    this.mergeFunctions = services.mergeFunctions;
    this.conflicts = services.conflicts;
    this.identity = services.server;
    const { limits } = this.config;
    this.bodies = new BodyBudget(limits.maxBodyMemory);
    this.connections = new Connections({ ...limits, maxConnections: connectionsWithin(limits) });
    this.feeds = new Feeds(limits);
    this.patience = new Patience(limits);
    // The listener knows how long a URL may be; a header cannot have more.
    this.resources = new Resources(limits.maxHeaderSize);
    this.compression = new Compression(this.config);
    this.name = `CouchDB/${COUCHDB_VERSION} (Causeway ${services.server.version})`;
  }

  get cors(): Cors {
    return this.#rules.cors;
  }

  /** What a document may not exceed. */
  get documents(): Required<DocumentLimits> {
    return this.#rules.documents;
  }

  /** Content types of attachments that are compressed. */
  get compressible(): RegExp {
    return this.#rules.compressible;
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
