import { createHash } from 'node:crypto';
import { ClassicLevel } from 'classic-level';
import { type Attachment, readAttachments } from '../../src/store/attachments/members.js';
import type { StagedAttachment, StageOptions } from '../../src/store/attachments/stage.js';
import { parseRecord } from '../../src/store/record.js';
import type { AttachmentStaging } from '../../src/store/types/attachments.js';
import type { Database } from '../../src/store/types/database.js';
import type { AttachmentEdit, EditResult } from '../../src/store/types/edits.js';
import type { Revisions } from '../../src/store/types/records.js';

export const digestOf = (bytes: Buffer): string => `md5-${createHash('md5').update(bytes).digest('base64')}`;

/** Bytes that differ from place to place. */
export function bytesOf(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length);
  let state = seed * 2 + 1;
  for (let at = 0; at < length; at++) {
    state = Math.imul(state, 1_103_515_245) + 12_345;
    bytes[at] = state >>> 16;
  }
  return bytes;
}

/** Bytes as a socket has them. */
// eslint-disable-next-line @typescript-eslint/require-await -- it is read like what comes over a socket
export async function* pieces(bytes: Buffer, size = 16_384): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

export const LIMITS: StageOptions = { limit: Infinity, tooLarge: () => new Error('too large') };

/** Who has to release what was taken in. */
const stagings = new WeakMap<StagedAttachment, AttachmentStaging>();

/** Takes an attachment in as the only one of a request. */
export async function stage(
  db: Database,
  source: AsyncIterable<Buffer>,
  options: StageOptions = LIMITS,
): Promise<StagedAttachment> {
  const staging = db.stageAttachments();
  const staged = await staging.take(source, options);
  stagings.set(staged, staging);
  return staged;
}

export const take = (
  db: Database,
  bytes: Buffer,
  options: Partial<StageOptions> = {},
): Promise<StagedAttachment> => stage(db, pieces(bytes), { ...LIMITS, ...options });

/** The end of such a request. */
export const release = async (staged: StagedAttachment): Promise<void> => stagings.get(staged)?.release();

export const STUB: AttachmentEdit = { kind: 'stub', revpos: undefined };

export const data = (
  staged: StagedAttachment,
  revpos?: number,
  contentType = 'text/plain',
): AttachmentEdit => ({
  kind: 'staged',
  contentType,
  revpos,
  staged,
});

export interface Write {
  readonly id: string;
  /** The revision that is edited, or for replicated ones the revision with its ancestors. */
  readonly revs?: readonly string[];
  readonly deleted?: boolean;
  readonly body?: string;
  readonly attachments?: ReadonlyMap<string, AttachmentEdit> | Readonly<Record<string, AttachmentEdit>>;
}

/** Writes documents with attachments. */
export const write = (db: Database, writes: readonly Write[], newEdits = true): Promise<EditResult[]> =>
  db.write(
    writes.map(({ id, revs = [], deleted = false, body = '', attachments = {} }) => {
      const named = attachments instanceof Map ? attachments : new Map(Object.entries(attachments));
      const edit = { id, revisions: revisionsOf(revs), deleted, body };
      return named.size === 0 ? edit : { ...edit, attachments: named as ReadonlyMap<string, AttachmentEdit> };
    }),
    { newEdits },
  );

function revisionsOf(revs: readonly string[]): Revisions {
  return {
    start: Number.parseInt(revs[0] ?? '0', 10),
    ids: revs.map((rev) => rev.slice(rev.indexOf('-') + 1)),
  };
}

/** Writes bytes as the only attachments of one document. */
export async function attach(
  db: Database,
  id: string,
  attachments: Readonly<Record<string, Buffer>>,
  rev?: string,
): Promise<EditResult | undefined> {
  const staged = await Promise.all(
    Object.entries(attachments).map(async ([name, bytes]) => [name, await take(db, bytes)] as const),
  );
  const edits = Object.fromEntries(staged.map(([name, one]) => [name, data(one)]));
  try {
    const [result] = await write(db, [{ id, revs: rev === undefined ? [] : [rev], attachments: edits }]);
    return result;
  } finally {
    for (const [, one] of staged) await release(one);
  }
}

export async function contentOf(
  db: Database,
  { digest, length }: { readonly digest: string; readonly length: number },
  [start, end]: readonly [number, number] = [0, length],
): Promise<Buffer> {
  const all: Buffer[] = [];
  const reader = db.openAttachments();
  try {
    for await (const piece of reader.read(digest, { start, end })) all.push(piece);
  } finally {
    await reader.close();
  }
  return Buffer.concat(all);
}

/** The attachments of a revision, of the winner when left out. */
export function attachmentsOf(db: Database, id: string, rev?: string): ReadonlyMap<string, Attachment> {
  const record = db.get(id);
  const text = record && db.read(record, rev ?? record.winner);
  if (text === undefined) throw new Error(`no body of ${id}`);
  return readAttachments(text);
}

/** Bytes of all attachments of a revision by their names. */
export async function readAll(db: Database, id: string, rev?: string): Promise<Record<string, Buffer>> {
  const found: Record<string, Buffer> = {};
  for (const [name, one] of attachmentsOf(db, id, rev)) found[name] = await contentOf(db, one);
  return found;
}

/** What the files of a closed database hold of attachments. */
export interface OnDisk {
  /** Digest → `id@rev`, sorted. */
  readonly refs: Record<string, string[]>;
  /** What the bodies that are kept ask for, in the same form. */
  readonly wanted: Record<string, string[]>;
  /** Digests of the values in PouchDB's form, sorted. */
  readonly binaries: string[];
  readonly chunked: string[];
  /** Keys of the sublevel for references that are very many. */
  readonly elsewhere: number;
  /** Number of the chunks. */
  readonly chunks: number;
  readonly uploads: number;
  readonly state: { readonly attachmentBytes: number; readonly chunked: number };
  /** Of all binaries and chunks. */
  readonly bytes: number;
}

/** Looks into the folder of a database that is closed. */
export async function onDisk(folder: string): Promise<OnDisk> {
  const level = new ClassicLevel<string, Buffer>(folder, { valueEncoding: 'buffer', createIfMissing: false });
  await level.open();
  const parts = new Map<string, Map<string, Buffer>>();
  try {
    for await (const [key, value] of level.iterator()) {
      const [, name = '', ...rest] = key.split('\xff');
      const part = parts.get(name) ?? new Map<string, Buffer>();
      part.set(rest.join('\xff'), value);
      parts.set(name, part);
    }
  } finally {
    await level.close();
  }
  const part = (name: string): Map<string, Buffer> => parts.get(name) ?? new Map<string, Buffer>();
  const elsewhere = [...part('causeway-refs')];
  const refs = Array.from(part('attach-store'), ([digest, value]): [string, string[]] => {
    const { causeway, ...named } = (JSON.parse(value.toString()) as { refs: Record<string, true> }).refs;
    if (causeway === undefined) return [digest, Object.keys(named).sort()];
    const ours = elsewhere.filter(([key]) => key.startsWith(`${digest}/`));
    const count = part('causeway-refs').get(digest)?.toString();
    if (count !== String(ours.length)) throw new Error(`${String(count)} of ${String(ours.length)} refs`);
    return [digest, [...Object.keys(named), ...ours.map(([key]) => key.slice(digest.length + 1))].sort()];
  });
  const binaries = part('attach-binary-store');
  const state = part('causeway-meta').get('state')?.toString() ?? '{}';
  const chunks = part('causeway-chunks');
  const sum = [...binaries.values(), ...chunks.values()].reduce((bytes, { length }) => bytes + length, 0);
  return {
    refs: Object.fromEntries(refs),
    wanted: wantedRefs(part('document-store'), part('by-sequence')),
    binaries: [...binaries.keys()],
    chunked: [...part('causeway-chunked').keys()],
    chunks: chunks.size,
    elsewhere: elsewhere.length,
    uploads: part('causeway-uploads').size,
    state: { attachmentBytes: 0, chunked: 0, ...(JSON.parse(state) as Partial<OnDisk['state']>) },
    bytes: sum,
  };
}

function wantedRefs(documents: Map<string, Buffer>, bodies: Map<string, Buffer>): Record<string, string[]> {
  const wanted = new Map<string, Set<string>>();
  for (const text of documents.values()) {
    const record = parseRecord(text.toString());
    for (const [rev, seq] of record.bodySeqs) {
      const body = bodies.get(String(seq).padStart(16, '0'));
      if (body === undefined) throw new Error(`no body of ${record.id}@${rev}`);
      for (const { digest, encoded } of readAttachments(body.toString()).values()) {
        for (const one of [digest, ...(encoded === undefined ? [] : [encoded.digest])]) {
          wanted.set(one, (wanted.get(one) ?? new Set()).add(`${record.id}@${rev}`));
        }
      }
    }
  }
  return Object.fromEntries(Array.from(wanted, ([digest, refs]) => [digest, [...refs].sort()]));
}

/** What always holds of the files of a database. */
export function problemsOf({ refs, wanted, binaries, chunked, uploads }: OnDisk): string[] {
  const problems: string[] = [];
  const sorted = (value: Record<string, string[]>): string =>
    JSON.stringify(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
  if (sorted(refs) !== sorted(wanted)) problems.push(`refs ${sorted(refs)}, wanted ${sorted(wanted)}`);
  const empty = digestOf(Buffer.alloc(0));
  const stored = [...binaries, ...chunked, ...(empty in refs ? [empty] : [])].sort();
  const named = Object.keys(refs).sort();
  if (JSON.stringify(stored) !== JSON.stringify(named))
    problems.push(`bytes of ${stored.join()}, refs of ${named.join()}`);
  if (uploads > 0) problems.push(`${String(uploads)} uploads`);
  return problems;
}
