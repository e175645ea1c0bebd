import nano from 'nano';

export interface Login {
  readonly name: string;
  readonly password: string;
}

/** Something that a person has to change first. */
export class Refusal extends Error {}

/** Asks a server as somebody. */
export interface Server {
  /** @throws Refusal where it says no, with what it said */
  get<T>(path: string): Promise<T>;
  /** The same, but undefined for 404. */
  find<T>(path: string): Promise<T | undefined>;
  put(path: string, value: unknown): Promise<void>;
}

/** @param login nobody when left out */
export function serverAt(url: string, login?: Login, headers: Readonly<Record<string, string>> = {}): Server {
  const credentials = login && Buffer.from(`${login.name}:${login.password}`).toString('base64');
  const configuration = {
    url,
    // The last part of the path is no database.
    parseUrl: false,
    headers: { ...headers, ...(credentials !== undefined && { authorization: `Basic ${credentials}` }) },
  };
  const scope = nano(configuration);
  const ask = async (method: string, path: string, value?: unknown): Promise<unknown> => {
    try {
      return await scope.request({ method, path, body: value });
    } catch (error) {
      throw failureOf(error, `${method} /${path}`);
    }
  };
  const find = async <T>(path: string): Promise<T | undefined> => {
    try {
      return (await ask('GET', path)) as T;
    } catch (error) {
      if (error instanceof Answered && error.status === 404) return undefined;
      throw error;
    }
  };
  return {
    get: async <T>(path: string) => (await ask('GET', path)) as T,
    find,
    put: async (path, value) => {
      await ask('PUT', path, value);
    },
  };
}

/** What a server said that did not do what it was asked for. */
export class Answered extends Refusal {
  constructor(
    readonly status: number,
    asked: string,
    reason: string,
  ) {
    super(`${asked} was answered with ${status}: ${reason}`);
  }
}

function failureOf(error: unknown, asked: string): Error {
  const { statusCode, reason, message } = error as { statusCode?: number; reason?: string; message?: string };
  return statusCode === undefined
    ? new Error(`${asked}: ${message ?? 'the server cannot be reached'}`)
    : new Answered(statusCode, asked, reason ?? message ?? '');
}
