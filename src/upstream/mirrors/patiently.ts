import { TUNING } from '../../replication/options.js';
import { Retrying } from '../../replication/retrying.js';

/**
 * Repeats a request that fails for a moment: over a bad line a mirror that began anew for each would never get anywhere.
 * @throws what it fails with again and again; the reason of the signal
 */
export const patiently = <T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> =>
  new Retrying(TUNING, signal, () => undefined).run(work);
