import { cp, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { folderOf } from '../../../src/store/names.js';
import {
  type GatewayOptions,
  type RunningGateway,
  startGateway,
  temporaryFolder,
} from '../../support/server.js';
import { Couch } from './couch.js';

/** A gateway that keeps its port and its data directory while it is stopped, killed and started again. */
export class Restartable {
  #running: RunningGateway;

  private constructor(
    first: RunningGateway,
    readonly data: string,
    private readonly options: GatewayOptions,
  ) {
    this.#running = first;
    this.url = first.url;
    this.port = first.port;
    this.authorization = first.authorization;
    this.auth = { username: first.admin.name, password: first.admin.password };
    this.couch = new Couch(first.url, first.authorization);
  }

  readonly url: string;
  readonly port: number;
  readonly authorization: string;
  /** As PouchDB takes them. */
  readonly auth: { readonly username: string; readonly password: string };
  /** A client with the admin's rights. */
  readonly couch: Couch;

  static async start(options: GatewayOptions = {}): Promise<Restartable> {
    const data = options.data ?? (await temporaryFolder());
    return new Restartable(await startGateway({ ...options, data }), data, options);
  }

  get program(): RunningGateway['program'] {
    return this.#running.program;
  }

  get pid(): number {
    return this.program.pid;
  }

  /** Ends it with SIGTERM; its exit code has to be 0. */
  async stop(): Promise<void> {
    const how = await this.#running.stop();
    if (how !== 0) throw new Error(`the gateway ended with ${how}:\n${this.program.stderr}`);
  }

  async kill(): Promise<void> {
    await this.#running.kill();
  }

  /** Starts it again where it was. */
  async start(): Promise<void> {
    const args = [...(this.options.args ?? []), '--port', String(this.port)];
    this.#running = await startGateway({ ...this.options, args, data: this.data });
  }

  async restart(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    if (signal === 'SIGTERM') await this.stop();
    else await this.kill();
    await this.start();
  }

  /** Stops it, however it fares, and removes its data. */
  async remove(): Promise<void> {
    await this.couch.close();
    await this.#running.kill();
    await rm(this.data, { recursive: true, force: true });
  }

  /** The folder of a database, wherever below the data directory it stands. */
  async folderOf(database: string): Promise<string> {
    const name = folderOf(database);
    for (const entry of await readdir(this.data, { recursive: true, withFileTypes: true })) {
      const folder = path.join(entry.parentPath, entry.name);
      if (entry.isDirectory() && entry.name === name) return folder;
    }
    throw new Error(`no folder of ${database} in ${this.data}`);
  }
}

/** Replaces a folder by a copy of another. */
export async function replaceFolder(folder: string, by: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await cp(by, folder, { recursive: true });
}
