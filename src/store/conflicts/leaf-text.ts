/**
 * How a leaf of the journal is stored. The leaves of an entry are mostly alike: one of them is stored as it was, and what is
 * like that one is stored as what differs, `["REV",HEAD,TAIL]\nMIDDLE`: the characters that both begin and end with, were
 * the revision the same, and what stands between them. The text of a leaf begins with a brace.
 */
import { alikeAtBeginnings, alikeAtEnds } from '../../json/alike.js';
import { quote } from '../../json/quote.js';
import { leafKey, parseLeafKey } from './journal-entry.js';
import type { JournalLeaf } from './types.js';

/** Where texts are stored. */
interface Texts {
  get(key: string): Promise<string | undefined>;
}

/** What is stored of a leaf. @param other one that is stored as it was */
export function storedLeaf({ rev, text }: JournalLeaf, other: JournalLeaf): string {
  if (rev === other.rev) return text;
  const like = renamed(other.text, other.rev, rev);
  const most = Math.min(text.length, like.length);
  const head = beforePair(text, alikeAtBeginnings(like, text));
  const end = afterPair(text, text.length - Math.min(alikeAtEnds(like, text), most - head));
  const stored = `[${quote(other.rev)},${String(head)},${String(text.length - end)}]\n${text.slice(head, end)}`;
  return stored.length < text.length / 2 ? stored : text;
}

/** The revision of the leaf that a stored one leans on; undefined where it is stored as it was. */
export const leansOn = (stored: string): string | undefined => lineOf(stored)?.[0];

/**
 * The text of a leaf; undefined where it is not there, or what it leans on is not. Entries may be trimmed and purged meanwhile:
 * when what a leaf leans on goes, the leaf is stored as it was.
 */
export async function readLeaf(level: Texts, number: number, rev: string): Promise<string | undefined> {
  const key = leafKey(number, rev);
  const stored = await level.get(key);
  const text = stored === undefined ? undefined : await wholeLeaf(level, key, stored);
  if (stored === undefined || text !== undefined) return text;
  const now = await level.get(key);
  return now === undefined ? undefined : wholeLeaf(level, key, now);
}

/** The same of a leaf that was read. What cannot be understood is taken for a text. */
export async function wholeLeaf(level: Texts, key: string, stored: string): Promise<string | undefined> {
  const line = lineOf(stored);
  if (line === undefined) return stored;
  const [other, head, tail] = line;
  const { number, rev } = parseLeafKey(key);
  const text = await level.get(leafKey(number, other));
  if (text === undefined) return undefined;
  const like = renamed(text, other, rev);
  return like.slice(0, head) + stored.slice(stored.indexOf('\n') + 1) + like.slice(like.length - tail);
}

type Line = readonly [rev: string, head: number, tail: number];

function lineOf(stored: string): Line | undefined {
  if (!stored.startsWith('[')) return undefined;
  try {
    const line = JSON.parse(stored.slice(0, stored.indexOf('\n'))) as Line;
    const [rev, head, tail] = line;
    return typeof rev === 'string' && Number.isSafeInteger(head) && Number.isSafeInteger(tail)
      ? line
      : undefined;
  } catch {
    return undefined;
  }
}

/** A text as it would be of another revision. */
function renamed(text: string, from: string, to: string): string {
  const member = `"_rev":${quote(from)}`;
  const at = text.indexOf(member);
  return at < 0 ? text : `${text.slice(0, at)}"_rev":${quote(to)}${text.slice(at + member.length)}`;
}

/** Half a pair of surrogates would not be stored as what it is. */
const beforePair = (text: string, at: number): number => (isWithinPair(text, at) ? at - 1 : at);
const afterPair = (text: string, at: number): number => (isWithinPair(text, at) ? at + 1 : at);

function isWithinPair(text: string, at: number): boolean {
  const unit = text.charCodeAt(at);
  return at > 0 && at < text.length && unit >= 0xdc00 && unit <= 0xdfff;
}
