import type { Staged } from './attachments/uploads.js';
import type { DocumentEdit } from './types/edits.js';
import { MAX_WEIGHT } from './writer.js';

/** Edits that go into one commit. */
export interface Portion {
  readonly edits: DocumentEdit[];
  weight: number;
}

/** Cuts a batch into what one commit may hold; each document of a batch stands for itself. */
export function portions(edits: readonly DocumentEdit[]): readonly Portion[] {
  let last: Portion = { edits: [], weight: 0 };
  const cut = [last];
  for (const edit of edits) {
    const weight = weightOf(edit);
    if (last.edits.length > 0 && last.weight + weight > MAX_WEIGHT) {
      last = { edits: [], weight: 0 };
      cut.push(last);
    }
    last.edits.push(edit);
    last.weight += weight;
  }
  return cut;
}

/** What an edit adds to a batch, in bytes: its body, its metadata, its row in the feed. */
export function weightOf({ body, revisions, attachments }: DocumentEdit): number {
  let weight = body.length + 512 + 64 * revisions.ids.length;
  for (const one of attachments?.values() ?? []) {
    weight += 256;
    if (one.kind !== 'staged') continue;
    for (const { content } of Object.values(one.staged) as Staged[]) {
      if (Buffer.isBuffer(content)) weight += content.length;
    }
  }
  return weight;
}
