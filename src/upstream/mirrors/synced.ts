import { setTimeout as sleep } from 'node:timers/promises';
import { notFound } from '../../errors.js';
import type { Rejection } from '../../rejections/rejection.js';
import type { ChangeRow } from '../../store/types/changes.js';
import type { Database } from '../../store/types/database.js';
import type { DocumentRecord } from '../../store/types/records.js';

/** What somebody wants to know to be upstream. */
export type Question =
  /** Everything that the database had at a sequence; the token of one. */
  { readonly seq: string } | { readonly id: string; readonly rev: string };

export interface Synced {
  readonly synced: boolean;
  /** Documents that wait to be sent. */
  readonly ahead: number;
  /** Revisions that the upstream refuses. */
  readonly rejected: number;
}

/**
 * Says whether something is upstream; what is uncertain is not.
 * @param rejected all that the upstream refuses of the database
 * @throws CouchError 400 for what is no token, 404 for a revision that is not here
 */
export async function isSynced(
  db: Database,
  question: Question,
  rejected: readonly Rejection[],
): Promise<Synced> {
  const synced =
    'seq' in question
      ? await isThrough(db, question.seq, rejected)
      : await hasGone(db, question.id, question.rev, rejected);
  return { synced, ahead: db.unsent.count, rejected: rejected.length };
}

async function isThrough(db: Database, token: string, rejected: readonly Rejection[]): Promise<boolean> {
  const seq = db.parseToken(token);
  // Of another life of the database, or of another server: what was written there may be gone.
  if (seq === 0 && !/^"?0/.test(token)) return false;
  if (await waits(db, 0, seq)) return false;
  const oldest = await db.unsent.oldest();
  // It may have been written again since, and wait at a later place.
  if (oldest !== undefined && oldest.seq <= seq) return false;
  const records = await db.getMany(rejected.map(({ id }) => id));
  return !rejected.some(({ rev }, at) => wasThere(records[at], rev, seq));
}

/** Whether a revision that was refused may have been there at a sequence. */
function wasThere(record: DocumentRecord | undefined, rev: string, seq: number): boolean {
  const leaves = record?.leaves() ?? [];
  if (record === undefined || !leaves.some((leaf) => leaf.rev === rev)) return false;
  // The last change of a document that has one leaf made that leaf.
  return record.seq <= seq || leaves.length > 1;
}

async function hasGone(
  db: Database,
  id: string,
  rev: string,
  rejected: readonly Rejection[],
): Promise<boolean> {
  const record = db.get(id);
  if (record?.has(rev) !== true) throw notFound('missing');
  // Where a revision was refused, those that it descends from may never have been sent.
  const isRefused = rejected.some((one) => one.id === id && isDescendant(record, one.rev, rev));
  return !isRefused && !(await isWaiting(db, record));
}

function isDescendant(record: DocumentRecord, rev: string, of: string): boolean {
  const { start, ids } = record.revisions(rev) ?? { start: 0, ids: [] };
  return ids.some((hash, at) => `${start - at}-${hash}` === of);
}

/** Whether a document waits to be sent. */
export const isWaiting = (db: Database, { seq }: DocumentRecord): Promise<boolean> => waits(db, seq - 1, seq);

/** Whether any row waits in a range of sequences. */
async function waits(db: Database, since: number, until: number): Promise<boolean> {
  const rows: AsyncIterable<readonly ChangeRow[]> = db.unsent.rows({ since, until, pageSize: 1 });
  for await (const page of rows) if (page.length > 0) return true;
  return false;
}

export interface Wait {
  /** Asks once more. */
  look(): Promise<Synced>;
  /** @returns what ends it */
  onProgress(listener: () => void): () => void;
  /** Milliseconds. */
  readonly timeout: number;
  readonly signal: AbortSignal;
}

/** A look takes no more than this part of the time. */
const SHARE = 10;

/** Resolves when it is upstream, or the time is over. */
export async function whenSynced(wait: Wait): Promise<Synced> {
  const { timeout, signal } = wait;
  const end = performance.now() + timeout;
  let news = new AbortController();
  const stop = wait.onProgress(() => news.abort());
  try {
    for (;;) {
      news = new AbortController();
      const before = performance.now();
      const answer = await wait.look();
      const now = performance.now();
      if (answer.synced || now >= end || signal.aborted) return answer;
      await pause(Math.min(SHARE * (now - before), end - now), signal);
      await pause(end - performance.now(), AbortSignal.any([news.signal, signal]));
    }
  } finally {
    stop();
  }
}

const pause = (milliseconds: number, signal: AbortSignal): Promise<void> =>
  sleep(Math.max(0, milliseconds), undefined, { signal }).catch(() => undefined);
