import { checkTree, type CheckedTree } from '../../revtree/check.js';
import { blockOf } from '../change-counts.js';
import type { Epochs } from '../epochs.js';
import * as layout from '../layout.js';
import { pagesOf } from '../pages.js';
import { parseRecord, type StoredDocument } from '../record.js';
import type { OddBody } from './bodies.js';
import { checkConflictRows } from './conflicts.js';
import { type Context, PAGE, parseObject, READING, readableRecord } from './context.js';

/** A record that could be read. */
interface Readable {
  readonly record: StoredDocument;
  readonly tree: CheckedTree;
}

/** What the records are compared with. */
export interface RecordChecks {
  /** Undefined where they cannot be read: then nothing can be told of the texts of rows. */
  readonly epochs: Epochs | undefined;
  readonly revsLimit: number;
  /** Sequence → what is odd about the body there; what a record accounts for is taken out. */
  readonly oddBodies: Map<number, OddBody>;
}

/** Reads the record of every document. */
export async function checkRecords(context: Context, checks: RecordChecks): Promise<void> {
  const { level, report } = context;
  let done = 0;
  let rows = 0;
  let overlong = 0;
  const entries = level.iterator({ ...READING, gte: layout.documents.start, lt: layout.documents.end });
  for await (const page of pagesOf(entries, PAGE)) {
    const readable: Readable[] = [];
    for (const [key, text] of page) {
      const id = layout.documents.strip(key);
      const read = readRecord(id, text);
      if (typeof read === 'string') {
        context.recount.isWhole = false;
        report({ code: 'record_damaged', problem: read, document: id });
        continue;
      }
      readable.push(read);
      checkCache(context, text, read);
      context.sizes.addRecord(text);
      count(context, read);
      if (read.tree.farthest >= checks.revsLimit) overlong++;
    }
    await checkKept(context, readable, checks.oddBodies);
    rows += await checkRows(context, readable, checks.epochs);
    await checkConflictRows(
      context,
      readable.map(({ record }) => record),
    );
    context.progress('documents', (done += page.length));
  }
  if (overlong > 0) {
    const problem = `${String(overlong)} documents have revisions beyond _revs_limit, ${String(checks.revsLimit)}`;
    report({ code: 'stemming_due', problem });
  }
  if (context.indexed && context.recount.isWhole) await findStrayRows(context, rows);
}

/** @returns in words what is wrong with it */
function readRecord(id: string, text: string): Readable | string {
  const stored = parseObject(text);
  if (stored === undefined) return 'the record is no JSON object';
  if (stored.id !== id) return `the record is of ${JSON.stringify(stored.id)}`;
  if (!isSequence(stored.seq)) return 'the record has no sequence';
  const map = stored.rev_map;
  if (typeof map !== 'object' || map === null || !Object.values(map).every(isSequence))
    return 'the record does not say where its bodies are';
  const tree = checkTree(stored.rev_tree);
  if (typeof tree === 'string') return tree;
  const unknown = Object.keys(map).find((rev) => !tree.revs.has(rev));
  if (unknown !== undefined) return `the record has a body of ${unknown}, which is not in its revision tree`;
  return { record: parseRecord(text), tree };
}

const isSequence = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) > 0;

/** What could be worked out, and is kept so that nobody has to. PouchDB before version 7 did not. */
function checkCache({ report }: Context, text: string, { record, tree }: Readable): void {
  const { id } = record;
  const { winningRev = record.winner, deleted = record.deleted } = parseObject(text) ?? {};
  if (winningRev !== record.winner)
    report({
      code: 'record_cache',
      problem: `the winner is ${record.winner}, not ${String(winningRev)}`,
      document: id,
    });
  if (deleted !== record.deleted)
    report({ code: 'record_cache', problem: `whether it is deleted is said wrongly`, document: id });
  for (const [rev, { available, isLeaf }] of tree.revs) {
    const isKept = record.bodySeqs.has(rev);
    if (isLeaf && !isKept)
      report({ code: 'body_missing', problem: `the leaf ${rev} has no body`, document: id });
    else if (available !== isKept) {
      const problem = `the body of ${rev} is said to be ${available ? 'kept, and is not' : 'dropped, and is kept'}`;
      report({ code: 'record_status', problem, document: id });
    }
  }
}

function count({ report, recount }: Context, { record }: Readable): void {
  if (record.deleted) recount.deletedCount++;
  else recount.docCount++;
  recount.changes.add(blockOf(record.seq), 1);
  const seqs = [...record.bodySeqs.values()];
  recount.updateSeq = Math.max(recount.updateSeq, record.seq, ...seqs);
  if (seqs.includes(record.seq)) return;
  const problem = `there is no body at its last change, ${String(record.seq)}`;
  report({ code: 'record_feed', problem, document: record.id });
}

/** Every body that a record speaks of has to be there. */
async function checkKept(
  { level, report }: Context,
  readable: readonly Readable[],
  oddBodies: Map<number, OddBody>,
): Promise<void> {
  const wanted = readable.flatMap(({ record: { id, bodySeqs } }) =>
    Array.from(bodySeqs, ([rev, seq]) => ({ id, rev, seq })),
  );
  const there = await level.hasMany(wanted.map(({ seq }) => layout.bodies.key(layout.seqKey(seq))));
  wanted.forEach(({ id, rev, seq }, at) => {
    const odd = oddBodies.get(seq);
    if (odd !== undefined) {
      oddBodies.delete(seq);
      report({ code: 'body_damaged', problem: `revision ${rev}: ${odd.problem}`, document: id });
    } else if (there[at] !== true) {
      const problem = `the body of ${rev} is missing at sequence ${String(seq)}`;
      report({ code: 'body_missing', problem, document: id });
    }
  });
}

/** @returns how many of the documents have a row in the changes index */
async function checkRows(
  { level, report, indexed }: Context,
  readable: readonly Readable[],
  epochs: Epochs | undefined,
): Promise<number> {
  if (!indexed) return 0;
  const rows = await level.getMany(
    readable.map(({ record: { seq } }) => layout.changes.key(layout.seqKey(seq))),
  );
  readable.forEach(({ record }, at) => {
    const row = rows[at];
    if (row === undefined) {
      const problem = `the changes index has no row at sequence ${String(record.seq)}`;
      report({ code: 'changes_missing', problem, document: record.id });
    } else if (epochs !== undefined && row !== record.changeRow(epochs.token(record.seq))) {
      const problem = `the row of the changes index at sequence ${String(record.seq)} is not the document's`;
      report({ code: 'changes_wrong', problem, document: record.id });
    }
  });
  return rows.filter((row) => row !== undefined).length;
}

/** Rows that are no document's last change: there are some only where there are more rows than documents have. */
async function findStrayRows({ level, report }: Context, known: number): Promise<void> {
  const range = { gte: layout.changes.start, lt: layout.changes.end };
  let rows = 0;
  for await (const page of pagesOf(level.keys({ ...READING, ...range }), 1000)) rows += page.length;
  if (rows === known) return;
  for await (const page of pagesOf(level.iterator({ ...READING, ...range }), 1000)) {
    for (const [key, text] of page) {
      const at = layout.changes.strip(key);
      const { id } = parseObject(text) ?? {};
      const document = typeof id === 'string' ? id : undefined;
      const stored = document === undefined ? undefined : await level.get(layout.documents.key(document));
      if (document !== undefined && readableRecord(stored)?.seq === layout.parseSeqKey(at)) continue;
      const problem = `the row of the changes index at sequence ${at} is of no document's last change`;
      report({ code: 'changes_stray', problem, document });
    }
  }
}
