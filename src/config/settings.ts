import { rm } from 'node:fs/promises';
import { adminPasswordFile, FIRST_ADMIN, type PasswordHasher, serverAdmins } from './admins.js';
import type { Key } from './keys.js';
import { overlay, type Values } from './layers.js';
import {
  combine,
  combineAll,
  type ConfigInput,
  find,
  readSources,
  runtimeLayers,
  type Sources,
} from './load.js';
import { type Runtime, readRuntime, writeRuntime } from './runtime.js';
import { type Config, configSchema } from './schema.js';

/** What DATA/runtime.json shall hold, made from what it holds. */
export type Edit = (runtime: Runtime) => Runtime;

/** Where the value of a key is given. */
export interface Place {
  /** In words. */
  readonly name: string;
  /** In DATA/runtime.json, or in what counts for more or for less. */
  readonly layer: 'above' | 'runtime' | 'below';
}

/** What the configuration is read from. */
interface Given {
  readonly sources: Sources;
  readonly runtime: Runtime;
  readonly passwordFile: string | undefined;
}

/** Keys that the next configuration may not have. */
const NOTHING = Object.fromEntries(Object.keys(configSchema.shape).map((name) => [name, undefined]));

/** The configuration of a running server, and the one place that changes it and writes DATA/runtime.json. */
export class Settings {
  /**
   * The configuration as it is at the moment, with the passwords of admins hashed: its members are other ones after a
   * change, so that whoever asks it each time has what counts. `onChange` is for those who make something of it.
   */
  readonly config: Config;
  /** The file with the password of `admin`, when the configuration named no admin at the start. */
  readonly passwordFile: string | undefined;
  readonly #listeners: ((config: Config) => void)[] = [];
  #sources: Sources;
  /** What is on the disk. */
  #stored: Runtime;
  /** The same, with what was changed until the next start only. */
  #current: Runtime;
  /** The last change; each waits for the one before. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly input: ConfigInput,
    private readonly data: string,
    readonly hasher: PasswordHasher,
    { sources, runtime, passwordFile }: Given,
  ) {
    this.#sources = sources;
    this.#stored = this.#current = runtime;
    this.passwordFile = passwordFile;
    this.config = this.#combined(runtime);
  }

  /**
   * Reads the configuration. Passwords of admins in clear text get hashes in DATA/runtime.json.
   * @param data the data directory, absolute, which this process alone uses
   * @throws StartError where the configuration is wrong
   */
  static async open(input: ConfigInput, data: string, hasher: PasswordHasher): Promise<Settings> {
    return new Settings(input, data, hasher, await read(input, data, hasher));
  }

  /** What DATA/runtime.json holds, and what was set until the next start only. */
  get runtime(): Runtime {
    return this.#current;
  }

  /** What DATA/runtime.json holds. */
  get stored(): Runtime {
    return this.#stored;
  }

  /** Calls `listener` after each change. */
  onChange(listener: (config: Config) => void): void {
    this.#listeners.push(listener);
  }

  /** What is given beside the sections of CouchDB's that were set at run time, below them and above. */
  given(): { readonly below: Values; readonly above: Values } {
    const { below, above } = this.#sources;
    return { below: overlay(combine(below), this.#current.config), above: combine(above) };
  }

  /**
   * Where the value at a path is given; undefined where it is a default.
   * @param among the layers to look at, the uppermost first
   */
  placeOf(
    path: readonly string[],
    key: Key | undefined,
    among: readonly Place['layer'][] = ['above', 'runtime', 'below'],
  ): Place | undefined {
    const layers = {
      above: this.#sources.above,
      runtime: runtimeLayers(this.data, this.#current),
      below: this.#sources.below,
    };
    for (const layer of among) {
      const { value, from } = find(path, key, layers[layer]);
      if (value !== undefined) return { name: from, layer };
    }
    return undefined;
  }

  /**
   * Changes what was set at run time; resolves when that is on the disk, and in effect.
   * @param prepare is called when changes before this one are done
   * @param persist false for a change until the next start only
   * @throws StartError where DATA/runtime.json is damaged
   */
  change(prepare: () => Edit, persist: boolean): Promise<void> {
    return this.#inTurn(async () => {
      const edit = prepare();
      const current = await this.#withHashes(edit(this.#current));
      const config = this.#combined(current);
      if (persist) {
        // Somebody may have edited it, and made a mistake: that is not written over.
        readRuntime(this.data);
        const stored = { ...edit(this.#stored), passwordHashes: current.passwordHashes };
        await writeRuntime(this.data, stored);
        this.#stored = stored;
      }
      this.#current = current;
      this.#become(config);
    });
  }

  /** The hash of the password that the server made, where DATA/runtime.json holds this and nobody names an admin. */
  firstAdmin(runtime: Runtime): string | undefined {
    const { admins } = combineAll(this.#sources, runtimeLayers(this.data, runtime));
    return Object.keys(admins).length === 0 ? runtime.passwordHashes.get(FIRST_ADMIN) : undefined;
  }

  /** The password of `admin` is from now on another one than DATA/admin-password says. */
  async forgetPassword(): Promise<void> {
    await rm(adminPasswordFile(this.data), { force: true });
  }

  /** Reads the file and DATA/runtime.json again. @throws StartError where they are wrong; nothing changes then */
  reload(): Promise<void> {
    return this.#inTurn(async () => {
      const { sources, runtime } = await read(this.input, this.data, this.hasher);
      this.#sources = sources;
      this.#stored = this.#current = runtime;
      this.#become(this.#combined(runtime));
    });
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(work);
    // Whoever asked for it hears of its failure; the next goes on.
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  #become(config: Config): void {
    Object.assign(this.config, NOTHING, config);
    for (const listener of this.#listeners) listener(config);
  }

  /** The same with hashes of passwords that the file gives, and that were hidden by others up to now. */
  async #withHashes(runtime: Runtime): Promise<Runtime> {
    const { admins, passwords } = combineAll(this.#sources, runtimeLayers(this.data, runtime));
    const passwordHashes = new Map(runtime.passwordHashes);
    for (const [name, password] of Object.entries(admins))
      if (!this.hasher.isHashed(password) && !passwordHashes.has(name))
        passwordHashes.set(name, await this.hasher.hash(password, passwords));
    return { ...runtime, passwordHashes };
  }

  #combined(runtime: Runtime): Config {
    const config = combineAll(this.#sources, runtimeLayers(this.data, runtime));
    const named = Object.entries(config.admins);
    // Where none is named, there is the one whose password the server made.
    const admins = named.length > 0 ? named : [[FIRST_ADMIN, ''] as const];
    const hashed = admins.map(([name, password]): [string, string] => [
      name,
      this.hasher.isHashed(password) ? password : (runtime.passwordHashes.get(name) ?? ''),
    ]);
    return { ...config, admins: Object.fromEntries(hashed) };
  }
}

async function read(input: ConfigInput, data: string, hasher: PasswordHasher): Promise<Given> {
  const sources = readSources(input);
  const config = combineAll(sources, runtimeLayers(data, readRuntime(data)));
  const { passwordFile } = await serverAdmins({ ...config, data }, hasher);
  return { sources, runtime: readRuntime(data), passwordFile };
}
