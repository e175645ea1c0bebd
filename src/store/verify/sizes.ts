import type { ClassicLevel } from 'classic-level';
import * as layout from '../layout.js';
import { pagesOf } from '../pages.js';
import { BytesCount } from '../recount.js';
import { countsSizes, STATE } from '../state.js';
import { type Context, READING } from './context.js';
import type { FindingCode } from './findings.js';

/** Where attachments are counted: in the view of a database, which is gone afterwards. */
const COUNTED = new layout.Sublevel('causeway-verify');

/** Where one of these was found, what the sizes should be is not known. */
const SPOILING: readonly FindingCode[] = [
  'record_damaged',
  'record_cache',
  'record_status',
  'body_missing',
  'body_damaged',
  'attachment_length',
  'attachment_encoding',
];

/** @param level a view */
export const newSizes = (level: ClassicLevel): BytesCount => new BytesCount(level, COUNTED);

/** Compares what was counted of bytes, and of who uses which attachment, with what is kept. */
export async function checkSizes(context: Context, found: ReadonlySet<FindingCode>): Promise<void> {
  const { level, state, indexed, recount, sizes, report } = context;
  if (state === undefined || !indexed || SPOILING.some((code) => found.has(code))) return;
  // They are counted at the next start where they never were.
  if (!countsSizes(await level.get(layout.meta.key(STATE)))) return;
  const bytes = await sizes.finish();
  for (const name of [
    'bodyBytes',
    'attachmentBytes',
    'metadataBytes',
    'activeBytes',
    'externalBytes',
  ] as const) {
    if (state[name] === bytes[name] || (name === 'attachmentBytes' && recount.hasUnknownOwners)) continue;
    const problem = `the counter ${name} says ${String(state[name])}, there are ${String(bytes[name])}`;
    report({ code: 'counters_wrong', problem });
  }
  await checkUses(context);
}

async function checkUses({ level, report }: Context): Promise<void> {
  const said = (digest: string, stored: string | undefined, counted: string | undefined): void => {
    const problem = `${counted ?? '0'} bodies that are kept have ${digest}, not ${stored ?? '0'}`;
    if (stored !== counted) report({ code: 'attachment_uses', problem });
  };
  for await (const [digest, counted, stored] of besides(level, COUNTED, layout.attachmentUses))
    said(digest, stored, counted);
  for await (const [digest, stored, counted] of besides(level, layout.attachmentUses, COUNTED))
    if (counted === undefined) said(digest, stored, counted);
}

/** Every entry of one sublevel, and what the other has of the same key. */
async function* besides(
  level: ClassicLevel,
  one: layout.Sublevel,
  other: layout.Sublevel,
): AsyncGenerator<readonly [key: string, value: string, beside: string | undefined]> {
  for await (const page of pagesOf(level.iterator({ ...READING, gte: one.start, lt: one.end }), 1000)) {
    const values = await level.getMany(page.map(([key]) => other.key(one.strip(key))));
    for (const [at, [key, value]] of page.entries()) yield [one.strip(key), value, values[at]];
  }
}
