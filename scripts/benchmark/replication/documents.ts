import type { Peer, RevisionText } from '../../../src/replication/peer.js';

/** What is replicated. */
export interface Documents {
  readonly documents: number;
  /** Bytes of one, about. */
  readonly size: number;
}

/** Documents of a request; replications have as many. */
export const BATCH = 500;

const signal = new AbortController().signal;

/** Makes a database and writes the documents to it. */
export async function fill(peer: Peer, documents: Documents): Promise<void> {
  await peer.create({}, signal);
  for (const batch of batches(documents)) await peer.write(batch, signal);
}

/** Replicated documents with members of several kinds. */
export function* batches({ documents, size }: Documents): Generator<readonly RevisionText[]> {
  for (let from = 0; from < documents; from += BATCH) {
    const count = Math.min(BATCH, documents - from);
    yield Array.from({ length: count }, (_, at) => document(from + at, size));
  }
}

function document(number: number, size: number): RevisionText {
  const id = `document-${String(number).padStart(8, '0')}`;
  const hash = (number * 7919 + 1).toString(16).padStart(32, 'a');
  const head = `{"_id":"${id}","_rev":"1-${hash}","_revisions":{"start":1,"ids":["${hash}"]},"n":${number},"tags":["a","b"],"nested":{"x":1.5,"y":null}`;
  const words = `word ${number} `.repeat(Math.ceil(size / 8)).slice(0, Math.max(0, size - head.length));
  return { id, rev: `1-${hash}`, text: `${head},"text":"${words}"}` };
}
