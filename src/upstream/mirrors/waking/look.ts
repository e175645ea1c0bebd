import { CouchError } from '../../../errors.js';
import type { Ask } from '../../directory.js';
import type { Found } from './looks.js';

/** Requests that are sent at once. */
const AT_ONCE = 4;

/** What says of a database that nothing of it changed. */
const TELLING = ['update_seq', 'purge_seq', 'instance_start_time'] as const;

type Info = Readonly<Partial<Record<(typeof TELLING)[number], unknown>>>;

/** Asks the upstream how its databases are: many by one request, where the account may do so. */
export class Looker {
  /** Whether the account has to ask for each by itself. */
  #isSingle = false;

  constructor(private readonly ask: Ask) {}

  /** The account may do more now, or is another one. */
  forget(): void {
    this.#isSingle = false;
  }

  /** Of those that are not in the answer nothing is known. Never fails. */
  async look(names: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, Found>> {
    const infos = await this.#infos(names, signal);
    const found = new Map<string, Found>();
    await eachOf(names, async (name) => {
      const info = infos?.get(name) ?? (await this.#orNothing(() => this.#info(name, signal)));
      if (info === undefined) return;
      const security = info === 'missing' ? '' : await this.#security(name, signal);
      if (security !== undefined)
        found.set(name, info === 'missing' ? info : { state: stateOf(info), security });
    });
    return found;
  }

  /** Those of which many were asked for; undefined where each has to be asked for. */
  async #infos(
    names: readonly string[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, Info | 'missing'> | undefined> {
    if (this.#isSingle || names.length === 1) return undefined;
    try {
      const body = JSON.stringify({ keys: names });
      return infosIn(await this.ask({ method: 'POST', path: '_dbs_info', body, signal }));
    } catch (error) {
      // Where it only fails now, each is asked for until the next look.
      this.#isSingle = error instanceof CouchError && error.status < 500 && error.status !== 429;
      return undefined;
    }
  }

  async #info(name: string, signal: AbortSignal): Promise<Info | 'missing'> {
    try {
      return (await this.ask({ method: 'GET', path: encodeURIComponent(name), signal })) as Info;
    } catch (error) {
      if (error instanceof CouchError && error.status === 404) return 'missing';
      throw error;
    }
  }

  /** A change of it is told of by nothing else. Empty where the account may not know it, undefined where it fails. */
  async #security(name: string, signal: AbortSignal): Promise<string | undefined> {
    const path = `${encodeURIComponent(name)}/_security`;
    return this.#orNothing(async () => {
      try {
        return JSON.stringify(await this.ask({ method: 'GET', path, signal }));
      } catch (error) {
        if (error instanceof CouchError && error.status < 500) return '';
        throw error;
      }
    });
  }

  /** The link hears of failures by itself. */
  async #orNothing<T>(work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch {
      return undefined;
    }
  }
}

const stateOf = (info: Info): string => JSON.stringify(TELLING.map((name) => info[name]));

/** What `_dbs_info` answers. */
function infosIn(answer: unknown): ReadonlyMap<string, Info | 'missing'> {
  const infos = new Map<string, Info | 'missing'>();
  for (const row of Array.isArray(answer) ? (answer as unknown[]) : []) {
    const { key, info, error } = Object(row) as Record<string, unknown>;
    if (typeof key !== 'string') continue;
    if (typeof info === 'object' && info !== null) infos.set(key, info);
    else if (error === 'not_found') infos.set(key, 'missing');
  }
  return infos;
}

async function eachOf(names: readonly string[], work: (name: string) => Promise<void>): Promise<void> {
  const waiting = names.values();
  const worker = async (): Promise<void> => {
    for (const name of waiting) await work(name);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}
