import { badRequest } from '../errors.js';
import { quote } from '../json/quote.js';
import { membersInTurns } from '../json/text.js';
import { type DocumentLimits, parseDocument, parseRev } from '../store/document.js';
import type { ByHand, Chosen } from './by-hand.js';
import type { NamedAttachment } from './named.js';

/** Ways to resolve a conflict, of which one is chosen. */
const WAYS = ['leaf', 'doc', 'delete'] as const;
type Way = (typeof WAYS)[number];

/**
 * What somebody makes of a conflict, as they say it: `{"leaf": rev}`, `{"doc": {…}}` or `{"delete": true}`, with the leaves
 * that they saw as `ifLeaves`.
 * @param members of the JSON object, as text
 * @throws CouchError 400 for anything else, 413 for a document that is too large
 */
export async function readChoice(
  members: ReadonlyMap<string, string>,
  id: string,
  limits: DocumentLimits,
): Promise<Pick<ByHand, 'chosen' | 'leaves'>> {
  const unknown = [...members.keys()].find(
    (name) => name !== 'ifLeaves' && !WAYS.some((way) => way === name),
  );
  if (unknown !== undefined) throw badRequest(`There is no member ${quote(unknown)} of a resolution.`);
  const [way, ...others] = WAYS.filter((one) => members.has(one));
  if (way === undefined || others.length > 0) throw badRequest(`One of ${WAYS.join(', ')} must be given.`);
  const leaves = members.get('ifLeaves');
  return {
    chosen: await READERS[way](members.get(way) ?? '', id, limits),
    ...(leaves !== undefined && { leaves: readRevs(leaves) }),
  };
}

const READERS: Readonly<
  Record<Way, (text: string, id: string, limits: DocumentLimits) => Chosen | Promise<Chosen>>
> = {
  leaf: (text) => ({ kind: 'pick', rev: parseRev(JSON.parse(text)) }),
  delete: (text) => {
    if (text !== 'true') throw badRequest('`delete` can only be true.');
    return { kind: 'delete' };
  },
  doc: readMerged,
};

function readRevs(text: string): string[] {
  const revs = JSON.parse(text) as unknown;
  if (!Array.isArray(revs)) throw badRequest('`ifLeaves` must be an array of revisions.');
  return revs.map(parseRev);
}

/** Attachments are named by what leaves have: there is nothing to be taken in. */
async function readMerged(text: string, id: string, limits: DocumentLimits): Promise<Chosen> {
  const members = await membersInTurns(text);
  if (members === undefined) throw badRequest('Document must be a JSON object');
  const attachments = readAttachments(members.get('_attachments'));
  members.delete('_attachments');
  const rev = members.get('_rev');
  const seen = rev === undefined ? undefined : parseRev(JSON.parse(rev));
  const rest = Array.from(members, ([name, value]) => `${quote(name)}:${value}`).join(',');
  const { deleted, body } = await parseDocument(`{${rest}}`, { ...limits, id, newEdits: true });
  return { kind: 'merge', deleted, body, attachments, ...(seen !== undefined && { seen }) };
}

function readAttachments(text = '{}'): ReadonlyMap<string, NamedAttachment> {
  const given = JSON.parse(text) as unknown;
  if (!isObject(given)) throw badRequest('`_attachments` must be an object.');
  return new Map(
    Object.entries(given).map(([name, info]) => {
      if (!isObject(info)) throw badRequest(`The attachment ${quote(name)} must be an object.`);
      if (info.data !== undefined)
        throw badRequest(
          'A conflict is resolved with attachments that its leaves have: others are put later.',
        );
      return [name, { digest: textOf(info.digest), contentType: textOf(info.content_type) }];
    }),
  );
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
