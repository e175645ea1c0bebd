/** Names by which every machine knows itself. */
const LOOPBACK = ['127.0.0.1', 'localhost', '[::1]'];

/** This server as replications see it: what is here need not be fetched by HTTP. */
export class OwnServer {
  readonly #origins: ReadonlySet<string>;

  /** @param url where it listens, without a slash at the end; others than that it cannot know */
  constructor(private readonly url: string) {
    const { protocol, port, hostname } = new URL(url);
    const hosts = [...LOOPBACK, hostname];
    this.#origins = new Set(hosts.map((host) => new URL(`${protocol}//${host}:${port}`).origin));
  }

  /** The URL that a database is shown under. */
  urlOf(database: string): string {
    return `${this.url}/${encodeURIComponent(database)}/`;
  }

  /** The database that a URL names; undefined where it is another server's. */
  databaseAt(url: string): string | undefined {
    const { origin, pathname } = new URL(url);
    if (!this.#origins.has(origin)) return undefined;
    const [, name = ''] = /^\/([^/]+)\/?$/.exec(pathname) ?? [];
    try {
      return decodeURIComponent(name);
    } catch {
      return '';
    }
  }
}
