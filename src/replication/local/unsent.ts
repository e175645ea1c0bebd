import type { ChangesPage, ChangesRequest } from '../peer.js';
import { readUnsent } from './changes.js';
import { LocalPeer } from './peer.js';

/**
 * A database of this server as the source of what the upstream has not got: its feed lists nothing else, and passes
 * everything else. It has no filters.
 */
export class UnsentSource extends LocalPeer {
  override changes(request: ChangesRequest, signal: AbortSignal): Promise<ChangesPage> {
    return this.options.access.use((db) => readUnsent(db, request, signal));
  }
}
