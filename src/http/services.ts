import type { Logger } from 'pino';
import type { Auth } from '../auth/auth.js';
import type { Users } from '../auth/users/users.js';
import type { Settings } from '../config/settings.js';
import type { ConflictEngine } from '../conflicts/engine.js';
import type { MergeFunctions } from '../conflicts/sources/merge-functions.js';
import type { Sandbox } from '../design/types.js';
import type { Tasks } from '../observe/tasks.js';
import type { Replicator } from '../replicator/replicator.js';
import type { Databases } from '../store/databases.js';
import type { Mirrors } from '../upstream/mirrors/mirrors.js';
import type { Upstream } from '../upstream/upstream.js';
import type { Views } from '../views/views.js';

/** Tells requests apart from people; `Auth` is the real one. */
export type Authenticator = Pick<Auth, 'accountOf' | 'authenticate' | 'login' | 'logout' | 'sessionInfo'>;

/** What the HTTP interface is built on. */
export interface Services {
  readonly settings: Settings;
  readonly databases: Databases;
  readonly auth: Authenticator;
  readonly users: Users;
  readonly log: Logger;
  readonly tasks: Tasks;
  readonly sandbox: Sandbox;
  readonly views: Views;
  readonly replicator: Replicator;
  readonly upstream: Upstream;
  readonly mirrors: Mirrors;
  readonly mergeFunctions: MergeFunctions;
  readonly conflicts: Pick<ConflictEngine, 'purged' | 'purgedInAll'>;
  readonly server: {
    /** 32 hexadecimal digits that stay with the data directory. */
    readonly uuid: string;
    /** Causeway's own version. */
    readonly version: string;
  };
}
