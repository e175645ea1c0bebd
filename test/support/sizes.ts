import { ClassicLevel } from 'classic-level';
import { readAttachments } from '../../src/store/attachments/members.js';
import { parseRecord } from '../../src/store/record.js';

/** What a closed database counts, and what a count of everything in it gives; both in bytes. */
export interface SizesOnDisk {
  readonly counted: Sizes;
  readonly recounted: Sizes;
  /** Bytes of what was dropped since the files were tidied. */
  readonly dropped: number;
}

export interface Sizes {
  readonly bodyBytes: number;
  readonly attachmentBytes: number;
  readonly metadataBytes: number;
  readonly activeBytes: number;
  readonly externalBytes: number;
  /** Digest → how many bodies that a compaction keeps name it. */
  readonly uses: Readonly<Record<string, number>>;
}

/** Everything is in memory: for small databases that are closed. */
export async function sizesOnDisk(folder: string): Promise<SizesOnDisk> {
  const level = new ClassicLevel(folder, { createIfMissing: false });
  await level.open();
  const parts = new Map<string, Map<string, string>>();
  try {
    for await (const [key, value] of level.iterator()) {
      const [, name = '', ...rest] = key.split('\xff');
      const part = parts.get(name) ?? new Map<string, string>();
      part.set(rest.join('\xff'), value);
      parts.set(name, part);
    }
  } finally {
    await level.close();
  }
  const part = (name: string): Map<string, string> => parts.get(name) ?? new Map<string, string>();
  const state = JSON.parse(part('causeway-meta').get('state') ?? '{}') as Omit<Sizes, 'uses'> & {
    droppedBytes: number;
  };
  const { bodyBytes, attachmentBytes, metadataBytes, activeBytes, externalBytes } = state;
  const uses = Object.fromEntries(
    Array.from(part('causeway-attachment-uses'), ([digest, count]) => [digest, Number(count)]),
  );
  return {
    counted: { bodyBytes, attachmentBytes, metadataBytes, activeBytes, externalBytes, uses },
    recounted: recount(part('document-store'), part('by-sequence'), part('causeway-base-numbers')),
    dropped: state.droppedBytes,
  };
}

function recount(
  documents: ReadonlyMap<string, string>,
  bodies: ReadonlyMap<string, string>,
  bases: ReadonlyMap<string, string>,
): Sizes {
  let [bodyBytes, metadataBytes, keptBytes, externalBytes] = [0, 0, 0, 0];
  const lengths = new Map<string, number>();
  const uses = new Map<string, number>();
  for (const text of documents.values()) {
    metadataBytes += Buffer.byteLength(text);
    const record = parseRecord(text);
    const leaves = new Set(record.leaves().map(({ rev }) => rev));
    for (const [rev, seq] of record.bodySeqs) {
      const key = String(seq).padStart(16, '0');
      const body = bodies.get(key);
      if (body === undefined) throw new Error(`no body of ${record.id}@${rev}`);
      const isKept = leaves.has(rev) || seq === record.seq || bases.has(key);
      bodyBytes += Buffer.byteLength(body);
      if (isKept) keptBytes += Buffer.byteLength(body);
      if (leaves.has(rev)) externalBytes += Buffer.byteLength(body);
      for (const { digest, length, encoded } of readAttachments(body).values()) {
        if (leaves.has(rev)) externalBytes += length;
        for (const form of encoded === undefined ? [{ digest, length }] : [{ digest, length }, encoded]) {
          lengths.set(form.digest, form.length);
          if (isKept) uses.set(form.digest, (uses.get(form.digest) ?? 0) + 1);
        }
      }
    }
  }
  const sum = (digests: Iterable<string>): number =>
    [...digests].reduce((bytes, digest) => bytes + (lengths.get(digest) ?? 0), 0);
  return {
    bodyBytes,
    attachmentBytes: sum(lengths.keys()),
    metadataBytes,
    activeBytes: keptBytes + metadataBytes + sum(uses.keys()),
    externalBytes,
    uses: Object.fromEntries(uses),
  };
}
