import type { Source } from '../../replication/peer.js';
import { Leaving, type LeavingOptions } from './leaving.js';
import { PartialSource } from './partial.js';

/**
 * Brings a partial mirror what belongs to it, and takes away what does not any more. Where that depends on what is in
 * documents, one follows the other: what has left must not come in behind those who look for it.
 * @param isEndless whether it goes on when everything is here
 * @param pull brings everything that a source has
 */
export async function pullPart(
  options: LeavingOptions,
  isEndless: boolean,
  pull: (source: Source, isEndless: boolean) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const { upstream, access, selection } = options;
  const source = new PartialSource(upstream, access);
  const leaving = new Leaving(options);
  await leaving.begin(signal);
  if (!selection.isOfContent) {
    await pull(source, isEndless);
    return;
  }
  do {
    await pull(source, false);
    if (!signal.aborted) await leaving.run(signal);
    if (isEndless && !signal.aborted) await leaving.wait(signal);
  } while (isEndless && !signal.aborted);
}
