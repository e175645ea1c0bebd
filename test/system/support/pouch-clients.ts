import { ModuleProcess } from '../../support/module-process.js';

/** Where clients sync to. */
export interface Remote {
  readonly url: string;
  readonly auth: { readonly username: string; readonly password: string };
}

/** Live PouchDB clients in a process of their own (pouch-clients.mjs). */
export class PouchClients extends ModuleProcess {
  constructor() {
    super(new URL('pouch-clients.mjs', import.meta.url));
  }

  /** Resolves when all of them are in step with the server. */
  start(remote: Remote, names: readonly string[]): Promise<void> {
    return this.ask('start', { ...remote, names });
  }

  /** Has each write so many documents of some 400 bytes, one after the other. */
  write(documents: number): Promise<void> {
    return this.ask('write', { documents });
  }

  /** How many documents the one has that has the fewest. */
  fewest(): Promise<number> {
    return this.ask('fewest', {});
  }

  /** A digest of the leaves that each has. */
  leaves(): Promise<readonly string[]> {
    return this.ask('leaves', {});
  }

  override async stop(): Promise<void> {
    await this.ask('stop', {});
    await super.stop();
  }
}
