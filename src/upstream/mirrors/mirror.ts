import type { MirrorRule } from '../rules.js';
import type { MirrorState, Standing } from './state.js';

/** How one direction of a mirror runs. */
export interface FlowStatus {
  readonly running: boolean;
  /** Revisions and bytes that it brought since the server started. */
  readonly documents: number;
  readonly bytes: number;
  /** Documents a second, of late; 0 where nothing runs. */
  readonly rate: number;
  /** Revisions that fail for no lasting reason, and are tried again. */
  readonly held: number;
}

/** What is shown of a mirror. */
export interface MirrorStatus {
  readonly name: string;
  readonly state: MirrorState;
  /** Whether it is served from here. */
  readonly warm: boolean;
  readonly reason: string | null;
  /** When it came to be so. */
  readonly since: string;
  readonly direction: MirrorRule['direction'];
  /** Changes here that are not upstream yet. */
  readonly ahead: number;
  /** When the oldest of them was written. */
  readonly oldest_unsent: string | null;
  /** Changes upstream that are not here yet; null where nobody knows. */
  readonly behind: number | null;
  readonly last_error: { readonly at: string; readonly reason: string } | null;
  /** When everything had last flowed that was known of. */
  readonly last_synced: string | null;
  readonly pull: FlowStatus;
  readonly push: FlowStatus;
}

/** A database here that is kept in step with the upstream database of its name. */
export interface Mirror {
  readonly name: string;
  readonly rule: MirrorRule;
  readonly standing: Standing;
  /** Name of the list of what the upstream refused for good (owner null), and of the push's checkpoints. */
  readonly pushId: string;
  /** Something may have changed, here or upstream: it runs as soon as it may. */
  wake(): void;
  /** Opens the database, for counting. @throws CouchError where that fails */
  status(): Promise<MirrorStatus>;
  /** Calls `listener` when something went up, or the state changed. @returns what ends it */
  onProgress(listener: () => void): () => void;

  /** Nothing flows from now on; resolves when nothing does. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Runs now, whatever it waits for. */
  sync(): Promise<void>;
  /**
   * Compares everything in both directions. Of a mirror that differs from the upstream both sides are merged.
   */
  resync(): Promise<void>;
  /**
   * Drops what is here; it is mirrored anew when it is next asked for.
   * @throws CouchError 409 where something has not gone up, unless it is forced
   */
  evict(options: { readonly force: boolean }): Promise<void>;
  /** It is a local database from now on. */
  detach(): Promise<void>;
  /** Everything here goes into the upstream database, which is made where there is none. */
  pushAll(): Promise<void>;
  /** What is here is kept aside under another name, and the upstream's is mirrored. @returns that name */
  pullAnew(): Promise<string>;
}
