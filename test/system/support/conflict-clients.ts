import { ModuleProcess } from '../../support/module-process.js';
import type { Remote } from './pouch-clients.js';

export interface ConflictClient extends Remote {
  readonly name: string;
  /** It has no replica, and sends its edits to the server. */
  readonly isOnline: boolean;
  /** Milliseconds between two edits. */
  readonly rest: number;
  /** Of the documents that it edits. */
  readonly ids: readonly string[];
  /** Large numbers that it decides by. */
  readonly choices: readonly number[];
}

/** What a client wrote, or may have written. */
export interface ClientEdit {
  readonly id: string;
  /** Name of the client. */
  readonly by: string;
  /**
   * What it added to `said`: ends with `+` and by how much `n` grew, and the sum of the counts of all `lines`. Left out
   * where it deleted the leaf.
   */
  readonly token?: string;
  /** What the leaf had said that it deleted. */
  readonly removes?: readonly string[];
  readonly isAcknowledged: boolean;
  /** Where it was acknowledged. */
  readonly rev?: string;
}

/** Clients that edit the same documents (conflict-clients.mjs). */
export class ConflictClients extends ModuleProcess {
  constructor() {
    super(new URL('conflict-clients.mjs', import.meta.url));
  }

  /** Begins to edit. */
  start(options: readonly ConflictClient[]): Promise<void> {
    return this.ask('start', { options });
  }

  /** These sync from now on, all others do not. */
  connect(names: readonly string[]): Promise<void> {
    return this.ask('connect', { names });
  }

  /** How many edits there are. */
  count(): Promise<number> {
    return this.ask('count', {});
  }

  /** Ends editing. @returns all edits */
  settle(): Promise<readonly ClientEdit[]> {
    return this.ask('settle', {});
  }

  /** The leaves that each replica has, as `leavesOf` tells them, by the name of its client. */
  leaves(): Promise<readonly (readonly [name: string, leaves: string])[]> {
    return this.ask('leaves', {});
  }

  override async stop(): Promise<void> {
    await this.ask('leave', {}).catch(() => undefined);
    await super.stop();
  }
}
