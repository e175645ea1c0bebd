import { Agent, type Dispatcher } from 'undici';

/** What the server answered. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** The parsed JSON; undefined for an empty body. */
  readonly body: unknown;
}

export interface RequestOptions {
  /** Sent as JSON. */
  body?: unknown;
  headers?: Record<string, string>;
  /** Sent as it is. */
  text?: string;
}

/** A client of the server that does nothing on its own: no retries, no cookies. */
export class Couch {
  readonly #agent: Agent;
  readonly #headers: Record<string, string>;

  constructor(
    readonly url: string,
    authorization?: string,
    connections = 64,
  ) {
    this.#agent = new Agent({ connections, headersTimeout: 120_000, bodyTimeout: 120_000 });
    this.#headers = authorization === undefined ? {} : { authorization };
  }

  /** Any status is an answer; rejects only where there is none. */
  async request(method: string, path: string, options: RequestOptions = {}): Promise<Answer> {
    const { statusCode, headers, body } = await this.open(method, path, options);
    const text = await body.text();
    return { status: statusCode, headers, body: text === '' ? undefined : JSON.parse(text) };
  }

  /** The answer with its body still to be read. */
  async open(
    method: string,
    path: string,
    { body, text, headers }: RequestOptions = {},
  ): Promise<Dispatcher.ResponseData> {
    const content = text ?? (body === undefined ? null : JSON.stringify(body));
    return await this.#agent.request({
      origin: this.url,
      path,
      method,
      headers: {
        ...this.#headers,
        ...(content === null ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      body: content,
    });
  }

  /** @throws where the status is not one of success. */
  async must(method: string, path: string, options: RequestOptions = {}): Promise<unknown> {
    const { status, body } = await this.request(method, path, options);
    if (status >= 300) throw new Error(`${method} ${path}: ${String(status)} ${JSON.stringify(body)}`);
    return body;
  }

  async get(path: string): Promise<unknown> {
    return await this.must('GET', path);
  }

  async put(path: string, body?: unknown): Promise<unknown> {
    return await this.must('PUT', path, { body });
  }

  async post(path: string, body: unknown): Promise<unknown> {
    return await this.must('POST', path, { body });
  }

  async delete(path: string): Promise<unknown> {
    return await this.must('DELETE', path);
  }

  /** Drops every connection at once. */
  async close(): Promise<void> {
    await this.#agent.destroy();
  }
}

/** A server whose address has the name and the password of an admin in it, such as that of COUCHDB_URL. */
export function couchAt(address: string) {
  // The error of URL has the password in it.
  if (!URL.canParse(address)) throw new Error('the address of the CouchDB is no URL');
  const { origin, username, password } = new URL(address);
  const auth = { username: decodeURIComponent(username), password: decodeURIComponent(password) };
  const credentials = Buffer.from(`${auth.username}:${auth.password}`).toString('base64');
  return { url: origin, auth, couch: new Couch(origin, `Basic ${credentials}`) };
}

/** The path of a document. */
export function documentPath(database: string, id: string): string {
  const name = encodeURIComponent(database);
  for (const prefix of ['_design/', '_local/'])
    if (id.startsWith(prefix)) return `/${name}/${prefix}${encodeURIComponent(id.slice(prefix.length))}`;
  return `/${name}/${encodeURIComponent(id)}`;
}

/** What `GET /db` answers, as far as the tests look at it. */
export interface Info {
  readonly doc_count: number;
  readonly doc_del_count: number;
  readonly update_seq: string;
  readonly instance_start_time: string;
}

export interface Change {
  readonly seq: string;
  readonly id: string;
  readonly changes: readonly { readonly rev: string }[];
  readonly deleted?: boolean;
  readonly doc?: Record<string, unknown>;
}

/** What `_changes` answers. */
export interface Changes {
  readonly results: readonly Change[];
  readonly last_seq: string;
  readonly pending: number;
}

/** Writes documents, `batch` at a time. */
export async function load(
  couch: Couch,
  database: string,
  docs: Iterable<Record<string, unknown>>,
  batch = 1000,
): Promise<void> {
  let gathered: Record<string, unknown>[] = [];
  const send = async (): Promise<void> => {
    const results = (await couch.post(`/${database}/_bulk_docs`, { docs: gathered })) as { error?: string }[];
    const failed = results.find(({ error }) => error !== undefined);
    if (failed) throw new Error(`_bulk_docs: ${JSON.stringify(failed)}`);
    gathered = [];
  };
  for (const doc of docs) if (gathered.push(doc) === batch) await send();
  if (gathered.length > 0) await send();
}
