import type { IncomingMessage } from 'node:http';
import type { Config } from '../config/schema.js';
import { hostOf } from './url.js';

/** What pages of other origins may read beside the body, as CouchDB tells them. */
const EXPOSED =
  'content-type, cache-control, accept-ranges, etag, server, x-couch-request-id, x-couch-update-newrev, x-couchdb-body-time';

const NO_HEADERS: readonly string[] = [];

/** Cross-origin requests, by CouchDB's rules: an origin that is not listed is answered as if there were no CORS. */
export class Cors {
  readonly #rules: Rules;
  /** By the name, in lower case, that the client uses for this server. */
  readonly #byHost: ReadonlyMap<string, Rules>;

  constructor({ hosts, ...config }: Config['cors']) {
    this.#rules = new Rules(config);
    const byHost = Object.entries(hosts);
    this.#byHost = new Map(
      byHost.map(([host, own]) => [host.toLowerCase(), new Rules({ ...config, ...own })]),
    );
  }

  /** Names and values for any answer to this request. */
  headers(request: IncomingMessage): readonly string[] {
    return this.#for(request).headers(request);
  }

  /** Names and values of the answer to a preflight; undefined where the request is none that is granted. */
  preflight(request: IncomingMessage): readonly string[] | undefined {
    return this.#for(request).preflight(request);
  }

  /** Whether pages of the origin that a request comes from may act with the cookies of their readers. */
  trusts(request: IncomingMessage): boolean {
    return this.#for(request).trusts(request);
  }

  #for(request: IncomingMessage): Rules {
    if (this.#byHost.size === 0) return this.#rules;
    const host = hostOf(request.headers)?.replace(/:\d*$/, '').toLowerCase() ?? '';
    return this.#byHost.get(host) ?? this.#rules;
  }
}

/** What counts for all hosts, or for one. */
class Rules {
  readonly #origins: ReadonlySet<string>;
  readonly #methods: ReadonlySet<string>;
  readonly #headers: ReadonlySet<string>;
  /** Undefined: for the origins that are named, as any page of the world could use a user's cookies otherwise. */
  readonly #credentials: boolean | undefined;
  readonly #maxAge: string;

  constructor(config: Omit<Config['cors'], 'hosts'>) {
    this.#origins = new Set(config.enabled ? config.origins : []);
    this.#methods = new Set(config.methods);
    this.#headers = new Set(config.headers.map((name) => name.toLowerCase()));
    this.#credentials = config.credentials;
    this.#maxAge = String(config.maxAge);
  }

  headers(request: IncomingMessage): readonly string[] {
    if (this.#origins.size === 0) return NO_HEADERS;
    const origin = request.headers.origin;
    if (origin === undefined || !this.#accepts(origin)) return ['Vary', 'Origin'];
    return ['Vary', 'Origin', ...this.#allow(origin), 'Access-Control-Expose-Headers', EXPOSED];
  }

  preflight(request: IncomingMessage): readonly string[] | undefined {
    const origin = request.headers.origin;
    const method = request.headers['access-control-request-method'];
    if (origin === undefined || method === undefined || !this.#accepts(origin)) return undefined;
    if (!this.#methods.has(method)) return undefined;
    const wanted = request.headers['access-control-request-headers'] ?? '';
    const names = wanted.split(',').map((name) => name.trim().toLowerCase());
    if (wanted !== '' && names.some((name) => !this.#headers.has(name))) return undefined;
    return [
      ...this.#allow(origin),
      'Access-Control-Max-Age',
      this.#maxAge,
      'Access-Control-Allow-Methods',
      Array.from(this.#methods).join(', '),
      'Access-Control-Allow-Headers',
      wanted,
      'Vary',
      'Origin',
    ];
  }

  trusts(request: IncomingMessage): boolean {
    const { origin } = request.headers;
    return origin !== undefined && this.#accepts(origin) && this.#sharesCredentials(origin);
  }

  #sharesCredentials(origin: string): boolean {
    return this.#credentials ?? this.#origins.has(origin);
  }

  #accepts(origin: string): boolean {
    return this.#origins.has(origin) || this.#origins.has('*');
  }

  #allow(origin: string): readonly string[] {
    const allow = ['Access-Control-Allow-Origin', origin];
    return this.#sharesCredentials(origin) ? [...allow, 'Access-Control-Allow-Credentials', 'true'] : allow;
  }
}
