import { hash } from 'node:crypto';
import { quote } from '../json/quote.js';
import { insert } from '../revtree/insert.js';
import { generationOf, pathTo, revOf } from '../revtree/tree.js';
import { StoredDocument, type StoredRecord } from './record.js';
import type { DocumentEdit } from './types/edits.js';

/** What an edit makes of a document. */
export type Applied =
  | {
      readonly kind: 'written';
      readonly rev: string;
      readonly record: StoredDocument;
      /** The revision was there, and only more of its ancestors came: where its body is now. */
      readonly movedFrom: number | undefined;
      /** Sequences whose bodies go, because their revisions were stemmed. */
      readonly dropped: readonly number[];
    }
  /** The revision was there already: nothing is written. */
  | { readonly kind: 'unchanged'; readonly rev: string }
  | { readonly kind: 'conflict' };

const CONFLICT: Applied = { kind: 'conflict' };

/** Applies an edit to what is known of a document, as CouchDB does. */
export function applyEdit(
  record: StoredDocument | undefined,
  edit: DocumentEdit,
  context: Context & { readonly newEdits: boolean },
): Applied {
  return context.newEdits ? applyInteractive(record, edit, context) : applyReplicated(record, edit, context);
}

interface Context {
  readonly revsLimit: number;
  readonly seq: number;
  /** Tells different attachments apart; empty where there are none. */
  readonly attachments: string;
}

function applyInteractive(record: StoredDocument | undefined, edit: DocumentEdit, context: Context): Applied {
  const parent = extended(record, edit);
  if (parent === undefined) return CONFLICT;
  const made = newHash(edit, parent.start, parent.ids[0], context.attachments);
  const rev = revOf(parent.start + 1, made);
  if (record?.has(rev) === true) return CONFLICT;
  return written(record, edit, parent.start + 1, [made, ...parent.ids], context);
}

/** The history that an interactive edit extends, empty for a new document; undefined where it is a conflict. */
export function extended(
  record: StoredRecord | undefined,
  { revisions, deleted }: DocumentEdit,
): DocumentEdit['revisions'] | undefined {
  const [hash] = revisions.ids;
  if (record === undefined) return revisions;
  if (hash === undefined) {
    // A deleted document is made again on top of its winner, so that the new revision wins everywhere.
    if (!record.deleted || deleted) return undefined;
    return { start: generationOf(record.winner), ids: [record.winner.slice(record.winner.indexOf('-') + 1)] };
  }
  if (record.deleted) return undefined;
  const given = revOf(revisions.start, hash);
  return record.leafRevs().includes(given) ? { start: revisions.start, ids: [hash] } : undefined;
}

/** Equal edits of equal parents give equal revisions on every server of ours. */
function newHash(edit: DocumentEdit, start: number, parent: string | undefined, attachments: string): string {
  const base = parent === undefined ? 'null' : quote(parent);
  const origin = `[${String(edit.deleted)},${String(start)},${base}]`;
  return hash('md5', `${origin}{${edit.body}}${attachments}`);
}

function applyReplicated(record: StoredDocument | undefined, edit: DocumentEdit, context: Context): Applied {
  const { start, ids } = edit.revisions;
  const rev = revOf(start, ids[0] ?? '');
  const known = record?.bodySeqs.has(rev) === true ? pathTo(record.tree, rev) : undefined;
  if (known !== undefined && known.length >= ids.length) return { kind: 'unchanged', rev };
  const applied = written(record, edit, start, ids, context);
  const learned = known === undefined || (pathTo(applied.record.tree, rev)?.length ?? 0) > known.length;
  // Too old to be kept, or more ancestors than are kept: as if it had been there.
  return learned && applied.record.bodySeqs.has(rev) ? applied : { kind: 'unchanged', rev };
}

function written(
  record: StoredDocument | undefined,
  edit: DocumentEdit,
  start: number,
  hashes: readonly string[],
  { revsLimit, seq }: Context,
): Applied & { readonly kind: 'written' } {
  const rev = revOf(start, hashes[0] ?? '');
  const { tree, stemmed } = insert(record?.tree ?? [], start, hashes, edit.deleted, revsLimit);
  const bodySeqs = new Map(record?.bodySeqs);
  const movedFrom = bodySeqs.get(rev);
  const dropped: number[] = [];
  bodySeqs.set(rev, seq);
  for (const gone of stemmed) {
    const at = bodySeqs.get(gone);
    if (at !== undefined) dropped.push(at);
    bodySeqs.delete(gone);
  }
  return {
    kind: 'written',
    rev,
    record: new StoredDocument(edit.id, seq, tree, bodySeqs),
    movedFrom,
    dropped,
  };
}
