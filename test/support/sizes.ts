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
  /** Bodies that are kept for merges, and their bytes with those of what they have attached. */
  readonly bases: { readonly count: number; readonly bytes: number };
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
  const state = JSON.parse(part('causeway-meta').get('state') ?? '{}') as Omit<Sizes, 'uses' | 'bases'> & {
    droppedBytes: number;
  };
  const { bodyBytes, attachmentBytes, metadataBytes, activeBytes, externalBytes } = state;
  const uses = Object.fromEntries(
    Array.from(part('causeway-attachment-uses'), ([digest, count]) => [digest, Number(count)]),
  );
  const tally = part('causeway-meta').get('bases') ?? '{"count":0,"bytes":0}';
  const { count, bytes } = JSON.parse(tally) as Sizes['bases'];
  const bases = { count, bytes };
  const marked = markedIn(part('causeway-base-marks'));
  return {
    counted: { bodyBytes, attachmentBytes, metadataBytes, activeBytes, externalBytes, uses, bases },
    recounted: recount(part('document-store'), part('by-sequence'), marked),
    dropped: state.droppedBytes,
  };
}

/** The sequences of the bodies that are kept for merges. */
function markedIn(marks: ReadonlyMap<string, string>): ReadonlySet<number> {
  const seqs = new Set<number>();
  for (const [key, text] of marks) {
    for (const [at, byte] of Buffer.from(text, 'hex').entries()) {
      for (let bit = 0; bit < 8; bit++) if (((byte >> bit) & 1) === 1) seqs.add(Number(key) + 8 * at + bit);
    }
  }
  return seqs;
}

function recount(
  documents: ReadonlyMap<string, string>,
  bodies: ReadonlyMap<string, string>,
  marked: ReadonlySet<number>,
): Sizes {
  let [bodyBytes, metadataBytes, keptBytes, externalBytes, baseBytes] = [0, 0, 0, 0, 0];
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
      const isKept = leaves.has(rev) || seq === record.seq || marked.has(seq);
      bodyBytes += Buffer.byteLength(body);
      if (isKept) keptBytes += Buffer.byteLength(body);
      if (leaves.has(rev)) externalBytes += Buffer.byteLength(body);
      if (marked.has(seq)) baseBytes += Buffer.byteLength(body);
      for (const { digest, length, encoded } of readAttachments(body).values()) {
        if (leaves.has(rev)) externalBytes += length;
        if (marked.has(seq)) baseBytes += length;
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
    bases: { count: marked.size, bytes: baseBytes },
  };
}
