import { type CopyPlace, vouchedRuns } from '../copy.js';
import { Epochs, parseEpochs } from '../epochs.js';
import * as layout from '../layout.js';
import { pagesOf } from '../pages.js';
import * as keys from '../state.js';
import { type Context, parseObject, READING } from './context.js';

/** What is kept of a database beside its documents. */
export interface CheckedSettings {
  readonly epochs: Epochs | undefined;
  readonly revsLimit: number;
}

/** What CouchDB has, too. */
const DEFAULT_REVS_LIMIT = 1000;

/** Checks the settings, the names of sequences, purges and local documents. */
export async function checkSettings(context: Context, place: CopyPlace): Promise<CheckedSettings> {
  const { level, report } = context;
  const [epochs, copy, security, revsLimit, purgedInfosLimit, partitioned] = await level.getMany(
    [keys.EPOCHS, keys.COPY, keys.SECURITY, keys.REVS_LIMIT, keys.PURGED_INFOS_LIMIT, keys.PARTITIONED].map(
      (key) => layout.meta.key(key),
    ),
  );
  if (security !== undefined && parseObject(security) === undefined)
    report({
      code: 'settings_damaged',
      problem: 'the security object is no JSON object: nobody but admins gets in',
    });
  for (const [name, limit] of [
    [keys.REVS_LIMIT, revsLimit],
    [keys.PURGED_INFOS_LIMIT, purgedInfosLimit],
  ] as const) {
    if (limit !== undefined && !isLimit(limit))
      report({ code: 'settings_damaged', problem: `_${name} is ${JSON.stringify(limit)}` });
  }
  if (partitioned !== undefined && partitioned !== 'true')
    report({ code: 'settings_damaged', problem: `partitioned is ${JSON.stringify(partitioned)}` });
  // Before it was ours it has neither.
  if (context.state !== undefined) await checkCopy(context, place, copy);
  const limit = revsLimit !== undefined && isLimit(revsLimit) ? Number(revsLimit) : DEFAULT_REVS_LIMIT;
  return { epochs: checkEpochs(context, epochs), revsLimit: limit };
}

/** Whether a stored text is a limit: a whole number above 0. */
export const isLimit = (text: string): boolean =>
  /^[1-9][0-9]*$/.test(text) && Number.isSafeInteger(Number(text));

async function checkCopy({ report }: Context, place: CopyPlace, text: string | undefined): Promise<void> {
  const copy = keys.parseCopy(text);
  if (copy === undefined)
    report({ code: 'copy_damaged', problem: 'what tells this copy from older ones is missing or damaged' });
  else if (!(await vouchedRuns(place)).includes(copy.run))
    report({ code: 'copy_restored', problem: 'it is not the copy that this server wrote last' });
}

function checkEpochs({ state, report }: Context, text: string | undefined): Epochs | undefined {
  if (state === undefined) return undefined;
  const epochs = text === undefined ? undefined : parseEpochs(text);
  const last = epochs?.at(-1);
  if (epochs !== undefined && last !== undefined && last.first <= state.updateSeq + 1)
    return new Epochs(epochs);
  report({ code: 'epochs_damaged', problem: 'the names of its sequences are missing or damaged' });
  return undefined;
}

/** Purges are numbered without gaps up to the last one; only the oldest are forgotten. */
export async function checkPurges({ level, state, recount, report }: Context): Promise<void> {
  const entries = level.iterator({ ...READING, gte: layout.purges.start, lt: layout.purges.end });
  let last: number | undefined;
  for await (const page of pagesOf(entries, 1000)) {
    for (const [key, text] of page) {
      const number = layout.parseSeqKey(layout.purges.strip(key));
      const { id, revs } = parseObject(text) ?? {};
      const isPurge =
        typeof id === 'string' && Array.isArray(revs) && revs.every((rev) => typeof rev === 'string');
      if (!isPurge) report({ code: 'purge_damaged', problem: `purge ${String(number)} cannot be read` });
      if (last !== undefined && number !== last + 1)
        report({
          code: 'purge_damaged',
          problem: `purges ${String(last + 1)} to ${String(number - 1)} are missing`,
        });
      last = number;
    }
  }
  recount.purgeSeq = last ?? 0;
  const purgeSeq = state?.purgeSeq ?? recount.purgeSeq;
  if (purgeSeq > recount.purgeSeq)
    report({ code: 'purge_damaged', problem: `purge ${String(purgeSeq)}, the last, is missing` });
}

export async function checkLocals({ level, report }: Context): Promise<void> {
  const entries = level.iterator({ ...READING, gte: layout.locals.start, lt: layout.locals.end });
  for await (const page of pagesOf(entries, 100)) {
    for (const [key, text] of page) {
      const id = layout.locals.strip(key);
      const { _id, _rev } = parseObject(text) ?? {};
      if (_id === id && typeof _rev === 'string' && /^0-[0-9]+$/.test(_rev)) continue;
      report({ code: 'local_damaged', problem: 'the local document cannot be read', document: id });
    }
  }
}

/** Keys that belong to nothing that is known: the first one of each stretch is told. */
export async function checkParts({ level, report }: Context): Promise<void> {
  const known = layout.ALL.toSorted((a, b) => Buffer.compare(Buffer.from(a.start), Buffer.from(b.start)));
  let from = '';
  for (const { start, end } of [...known, { start: '\u{10ffff}', end: '' }]) {
    const [key] = await level.keys({ gte: from, lt: start, limit: 1 }).all();
    if (key !== undefined)
      report({ code: 'unknown_part', problem: `there are entries at ${JSON.stringify(key)}` });
    from = end;
  }
}
