import { createHash } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { expect } from 'vitest';
import type { ChangedDocument, Peer } from '../../src/replication/peer.js';
import { canonical } from '../system/support/trees.js';

const never = new AbortController().signal;

const digestOf = (bytes: Buffer): string => createHash('md5').update(bytes).digest('hex');

/** The whole feed of a peer. */
export async function rowsOf(peer: Peer): Promise<readonly ChangedDocument[]> {
  const request = { since: 0, limit: 1_000_000, seqInterval: 1, style: 'all_docs', wait: false } as const;
  return (await peer.changes(request, never)).rows;
}

/** Everything that replication has to carry: each leaf with its ancestors, its body, and the bytes that are attached. */
export async function replicaOf(peer: Peer): Promise<Readonly<Record<string, unknown>>> {
  const documents = new Map<string, unknown>();
  for (const { id, revs } of await rowsOf(peer)) {
    const leaves = new Map<string, unknown>();
    for await (const opened of peer.open({ id, missing: revs, possibleAncestors: [] }, never)) {
      if (opened.kind === 'missing') {
        leaves.set(opened.rev, 'missing');
        continue;
      }
      const { rev, text, attachments } = opened.document;
      const bytes: string[] = [];
      for (const { name, encoding, body } of attachments) {
        const chunks: Buffer[] = [];
        for await (const chunk of body()) chunks.push(chunk);
        const sent = Buffer.concat(chunks);
        bytes.push(`${name} ${digestOf(encoding === 'gzip' ? gunzipSync(sent) : sent)}`);
      }
      const { _attachments, ...document } = JSON.parse(text) as Record<string, unknown>;
      // A server that has no multipart sends them so.
      for (const [name, { data }] of Object.entries(
        (_attachments ?? {}) as Record<string, { data?: string }>,
      ))
        if (data !== undefined) bytes.push(`${name} ${digestOf(Buffer.from(data, 'base64'))}`);
      const names = Object.keys(_attachments ?? {}).sort();
      leaves.set(rev, [canonical(document), names, bytes.sort()]);
    }
    documents.set(id, Object.fromEntries([...leaves].sort()));
  }
  return Object.fromEntries([...documents].sort());
}

export async function expectSame(source: Peer, target: Peer): Promise<void> {
  expect(await replicaOf(target)).toEqual(await replicaOf(source));
}

const numberOf = (seq: unknown): number => Number.parseInt(String(seq), 10);

/** Nothing that a checkpoint of the target says it has is missing there, but for what was refused. */
export async function expectNoneAhead(
  source: Peer,
  target: Peer,
  id: string,
  refused: ReadonlySet<string> = new Set(),
): Promise<void> {
  for (const peer of [source, target]) {
    const log = await peer.getLocal(`_local/${id}`, never);
    if (log === undefined) continue;
    const through = numberOf(log.source_last_seq);
    const rows = (await rowsOf(source)).filter(({ seq }) => numberOf(seq) <= through);
    const missing = await target.revsDiff(rows, never);
    expect(missing.filter((one) => !refused.has(one.id))).toEqual([]);
  }
}
