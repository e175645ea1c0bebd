import { ModuleProcess } from '../../support/module-process.js';
import type { Remote } from './pouch-clients.js';

/** PouchDB clients that go on syncing live and writing, whatever becomes of the server (mirror-clients.mjs). */
export class MirrorClients extends ModuleProcess {
  constructor() {
    super(new URL('mirror-clients.mjs', import.meta.url));
  }

  /** Begins to sync and to write. */
  start(remote: Remote, names: readonly string[]): Promise<void> {
    return this.ask('start', { ...remote, names });
  }

  /** From now on they sync with another server. */
  move(remote: Remote): Promise<void> {
    return this.ask('move', remote);
  }

  /** Resolves once they have noticed that their server is away. */
  cut(): Promise<void> {
    return this.ask('cut', {});
  }

  /** Stops writing. @returns the ids of all documents that were written */
  settle(): Promise<readonly string[]> {
    return this.ask('settle', {});
  }

  /** The leaves that each has, as `leavesOf` tells them. */
  leaves(): Promise<readonly string[]> {
    return this.ask('leaves', {});
  }

  /** Stops writing and syncing. */
  leave(): Promise<void> {
    return this.ask('leave', {});
  }

  override async stop(): Promise<void> {
    await this.leave().catch(() => undefined);
    await super.stop();
  }
}
