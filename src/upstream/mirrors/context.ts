import type { Config } from '../../config/schema.js';
import { badRequest } from '../../errors.js';
import type { Logger } from '../../observe/log.js';
import type { LocalPeerOptions } from '../../replication/local/options.js';
import type { Rejections } from '../../rejections/rejections.js';
import type { Databases } from '../../store/databases.js';
import type { Upstream } from '../upstream.js';
import type { Mirror } from './mirror.js';
import type { Records } from './records.js';
import type { MirrorRejections } from './rejected.js';
import type { Turns } from './turns.js';

/** What mirrors are built on. */
export interface MirrorServices {
  readonly upstream: Upstream;
  readonly databases: Databases;
  /** Of mirrors alone: they are kept however many there are. */
  readonly rejections: Rejections;
  /** Read at each use: it may change. */
  readonly config: Pick<Config, 'upstream' | 'store' | 'replication'>;
  /** What is written here is held to. */
  readonly limits: () => Pick<LocalPeerOptions, 'documents' | 'attachments'>;
  /** Of this server: its checkpoints are its own. */
  readonly uuid: string;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
}

/** What all mirrors share. */
export interface MirrorContext extends MirrorServices {
  readonly records: Records;
  readonly rejected: MirrorRejections;
  readonly turns: Turns;
  /** Fires when the server stops. */
  readonly closing: AbortSignal;
  /** Whether the upstream tells of changes, so that mirrors need not ask for them. */
  isTold(): boolean;
  /** A mirror is none any more. */
  left(mirror: Mirror): void;
}

/** A database here as one side of a mirror: nobody judges what is written, for the upstream did. */
export const localSide = (
  name: string,
  { databases, limits }: Pick<MirrorServices, 'databases' | 'limits'>,
): LocalPeerOptions => ({
  name: `/${encodeURIComponent(name)}/`,
  access: {
    use: (work) => databases.use(name, work),
    create: (properties) => databases.create(name, properties).then(() => undefined),
  },
  filter: () => Promise.reject(badRequest('mirrors have no filters')),
  ...limits(),
});
