import { type Attachment, readableAttachments } from '../attachments/members.js';
import { factsOf } from '../body-facts.js';
import { markedAmong } from '../conflicts/base-marks.js';
import { keptBodies } from '../kept.js';
import { LARGE, LargeBodies } from '../large-bodies.js';
import * as layout from '../layout.js';
import { pagesOf } from '../pages.js';
import type { StoredDocument } from '../record.js';
import type { CountedBody } from '../recount.js';
import type { AttachmentChecks } from './attachments.js';
import { type Context, PAGE, parseObject, READING, readableRecord, REMEMBERED } from './context.js';

/** A body that no record points at, or that is damaged; who should have it is found with the records. */
export interface OddBody {
  readonly code: 'body_damaged' | 'body_stray';
  readonly problem: string;
  readonly document?: string;
}

interface Body {
  readonly seq: number;
  readonly text: string;
  readonly id: string;
  readonly rev: string;
  readonly attachments: ReadonlyMap<string, Attachment>;
}

/** Reads every body in the order of the sequences. @returns sequence → what is odd about the body */
export async function checkBodies(
  context: Context,
  attachments: AttachmentChecks,
): Promise<Map<number, OddBody>> {
  const { level, recount } = context;
  const odd = new Map<number, OddBody>();
  const large = await LargeBodies.load(level);
  const found = new Set<number>();
  const entries = level.iterator({ ...READING, gte: layout.bodies.start, lt: layout.bodies.end });
  for await (const page of pagesOf(entries, PAGE)) {
    const bodies: Body[] = [];
    for (const [key, text] of page) {
      const seq = layout.parseSeqKey(layout.bodies.strip(key));
      if (layout.bodies.key(layout.seqKey(seq)) !== key) {
        context.report({
          code: 'body_stray',
          problem: `a body stands at ${JSON.stringify(key)}, which is no sequence`,
        });
        continue;
      }
      recount.bodies++;
      recount.bodyBytes += Buffer.byteLength(text);
      recount.updateSeq = Math.max(recount.updateSeq, seq);
      if (text.length > LARGE) found.add(seq);
      checkLarge(context, large, seq, text.length);
      const body = readBody(seq, text);
      if (typeof body !== 'string') bodies.push(body);
      else if (odd.size < REMEMBERED) odd.set(seq, { code: 'body_damaged', problem: body });
    }
    await checkPage(context, bodies, attachments, odd);
    context.progress('bodies', recount.bodies);
  }
  if (context.indexed) for (const seq of large.seqs()) if (!found.has(seq)) strayLength(context, seq);
  return odd;
}

function checkLarge(context: Context, large: LargeBodies, seq: number, length: number): void {
  if (!context.indexed || length <= LARGE || (large.has(seq) && large.bound(seq) === length)) return;
  const noted = large.has(seq) ? `the length ${String(large.bound(seq))}` : 'no length';
  const problem = `of the body at sequence ${String(seq)} ${noted} is noted, it has ${String(length)} characters`;
  context.report({ code: 'large_bodies', problem });
}

function strayLength({ report }: Context, seq: number): void {
  report({
    code: 'large_bodies',
    problem: `at sequence ${String(seq)} a large body is noted that is not there`,
  });
}

/** @returns in words what is wrong with it */
function readBody(seq: number, text: string): Body | string {
  const where = `the body at sequence ${String(seq)}`;
  const { _id: id, _rev: rev } = parseObject(text) ?? {};
  if (typeof id !== 'string' || typeof rev !== 'string') return `${where} is no document`;
  const attachments = readableAttachments(text);
  return attachments === undefined
    ? `${where} has attachments that cannot be read`
    : { seq, text, id, rev, attachments };
}

async function checkPage(
  context: Context,
  bodies: readonly Body[],
  attachments: AttachmentChecks,
  odd: Map<number, OddBody>,
): Promise<void> {
  const ids = [...new Set(bodies.map(({ id }) => id))];
  const texts = await context.level.getMany(ids.map((id) => layout.documents.key(id)));
  const records = new Map<string, StoredDocument | 'damaged'>();
  ids.forEach((id, at) => {
    const text = texts[at];
    if (text !== undefined) records.set(id, readableRecord(text) ?? 'damaged');
  });
  const owned: { body: Body; record: StoredDocument }[] = [];
  for (const body of bodies) {
    const record = records.get(body.id);
    // Whether a damaged record has it is not known.
    if (record === 'damaged') continue;
    if (record?.bodySeqs.get(body.rev) === body.seq) owned.push({ body, record });
    else if (odd.size < REMEMBERED) odd.set(body.seq, strayBody(body, record));
  }
  for (const { body } of owned) await attachments.check(body);
  await countBodies(context, owned);
}

async function countBodies(
  { level, sizes }: Context,
  owned: readonly { body: Body; record: StoredDocument }[],
): Promise<void> {
  const kept = new Map<StoredDocument, ReturnType<typeof keptBodies>>();
  for (const { record } of owned) if (!kept.has(record)) kept.set(record, keptOf(record));
  const seqs = owned.map(({ body: { seq } }) => seq);
  const isBase = await markedAmong(level, seqs);
  const counted = owned.map(({ body: { seq, rev, text }, record }): CountedBody => {
    const one = kept.get(record)?.get(rev);
    const isKept = one !== undefined || isBase(seq);
    return { isKept, isLeaf: one?.isLeaf === true, facts: factsOf(text) };
  });
  await sizes.addBodies(counted);
}

/** Of a record whose tree is damaged nothing is known; that is told with the records. */
export function keptOf(record: StoredDocument): ReturnType<typeof keptBodies> {
  try {
    return keptBodies(record);
  } catch {
    return new Map();
  }
}

function strayBody({ seq, id, rev }: Body, record: StoredDocument | undefined): OddBody {
  const why = record === undefined ? 'which is not there' : 'which has it not, or elsewhere';
  const problem = `the body at sequence ${String(seq)} is of revision ${rev} of the document, ${why}`;
  return { code: 'body_stray', problem, document: id };
}
