import { type Judged, Judging, type JudgingSource } from '../judging.js';
import { weightOf } from '../portions.js';
import type { StoredRecord } from '../record.js';
import type { Transaction } from '../transaction.js';
import type { DocumentEdit } from '../types/edits.js';
import type { Rules } from '../types/rules.js';
import type { WriteTask } from '../writer.js';
import type { AddedLeaf } from './journal-writes.js';
import type { Resolved, ResolveOptions, ResolvingWrites } from './types.js';

/** `overtaken`: by other rules, so that it has to be judged again. */
type Outcome = 'written' | 'changed' | 'overtaken';

/** What a write that resolves a conflict needs of its database. */
export interface ResolveHost {
  readonly source: JudgingSource;
  readonly rules: () => Rules;
  readonly get: (id: string) => StoredRecord | undefined;
  /** Whether the body that kept a revision from being judged was not dropped meanwhile. */
  readonly isStillStored: (judged: Judged, transaction: Transaction) => boolean;
  /** Resolves once it is committed. */
  readonly submit: (task: WriteTask) => Promise<void>;
}

/**
 * Writes revisions where a document still has the leaves that they were made of.
 * @throws CouchError 412 for an attachment that is not there: nothing is written then, either
 */
export async function resolveConflict(
  host: ResolveHost,
  writes: ResolvingWrites,
  { judge, origin = 'local', journal }: ResolveOptions,
): Promise<Resolved> {
  const { edits } = writes;
  const attached = edits.filter(({ attachments }) => attachments !== undefined);
  const judging = new Judging(host.source, { newEdits: false, ...(judge && { judge }) });
  const read = journal?.keeps ?? [];
  const leaves = read.flatMap(({ rev, seq, text }): AddedLeaf[] =>
    seq === undefined || text === undefined ? [] : [{ rev, seq, text }],
  );
  const isAsRead = (record: StoredRecord | undefined): boolean =>
    hasLeaves(record, writes) && read.every(({ rev, seq }) => record?.bodySeq(rev) === seq);
  for (;;) {
    // What is out of date anyway is not judged.
    if (!isAsRead(host.get(writes.id))) return { kind: 'changed' };
    const rules = host.rules();
    const judged = await judging.verdicts(edits, rules);
    const refused = firstRefused(edits, judged);
    if (refused !== undefined) return refused;
    let outcome = 'overtaken' as Outcome;
    let entry: number | undefined;
    await host.submit({
      ids: [writes.id, ...edits.map(({ id }) => id)],
      ...(attached.length > 0 && { attached: { edits: attached, newEdits: false } }),
      weight: edits.reduce((weight, edit) => weight + weightOf(edit), weightOfEntry(journal, leaves)),
      run: (transaction) => {
        const holds = rules === host.rules() && judged.every((one) => host.isStillStored(one, transaction));
        const isStill = isAsRead(transaction.record(writes.id));
        outcome = !isStill ? 'changed' : holds ? 'written' : 'overtaken';
        if (outcome !== 'written') return;
        // What throws here takes all of it back.
        for (const one of judged) if ('edit' in one) transaction.edit(one.edit, false, { origin });
        if (journal === undefined) return;
        const { text } = journal;
        entry = transaction.journal.append({ id: writes.id, time: Date.now(), text, leaves });
      },
    });
    if (outcome === 'changed') return { kind: 'changed' };
    if (outcome === 'written') return { kind: 'written', ...(entry !== undefined && { entry }) };
  }
}

const weightOfEntry = (journal: ResolveOptions['journal'], leaves: readonly AddedLeaf[]): number =>
  leaves.reduce((weight, { text }) => weight + text.length, journal?.text.length ?? 0);

/** The first of the edits that may not be written, and why. */
export function firstRefused(
  edits: readonly DocumentEdit[],
  judged: readonly Judged[],
): Resolved | undefined {
  for (const [at, edit] of edits.entries()) {
    const one = judged[at];
    if (one !== undefined && 'error' in one) return { kind: 'refused', edit, error: one.error };
  }
  return undefined;
}

/** Whether these are the leaves of a document that are not deleted. */
function hasLeaves(record: StoredRecord | undefined, { ifLeaves }: ResolvingWrites): boolean {
  const leaves = record?.leaves() ?? [];
  const living = leaves.filter(({ deleted }) => !deleted);
  const wanted = new Set(ifLeaves);
  return living.length === wanted.size && living.every(({ rev }) => wanted.has(rev));
}
