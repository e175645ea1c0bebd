/**
 * How the leaves of an entry of the journal are stored: mostly all of them in one value, `[[REV,HEAD,TAIL,LENGTH],…]\nPIECES`.
 * They are mostly alike: the first is stored as it was, and what is like that one as what differs, with the numbers of
 * characters that both begin and end with, were the revision the same.
 */
import type { ClassicLevel } from 'classic-level';
import { alikeAtBeginnings, alikeAtEnds } from '../../json/alike.js';
import { quote } from '../../json/quote.js';
import { sorted } from '../../json/sort.js';
import { compareIds } from '../order.js';
import { leavesOf } from './journal-entry.js';
import type { JournalLeaf } from './types.js';

/** Characters that leaves have at most which share a value: it is read in one piece. A longer leaf has one for itself. */
const TOGETHER = 8 << 20;

/** Leaves in the order of their revisions, as they share values. */
export function gathered<T extends JournalLeaf>(leaves: readonly T[]): readonly (readonly T[])[] {
  const all: T[][] = [];
  let length = 0;
  for (const leaf of sorted(leaves, (a, b) => compareIds(a.rev, b.rev))) {
    length += leaf.text.length;
    const last = all.at(-1);
    if (last !== undefined && length <= TOGETHER) {
      last.push(leaf);
      continue;
    }
    all.push([leaf]);
    length = leaf.text.length;
  }
  return all;
}

/** Where a piece stands, and what it lacks. */
type Place = readonly [rev: string, head: number, tail: number, length: number];

/** What is stored of leaves that share a value. */
export function storedLeaves(leaves: readonly JournalLeaf[]): string {
  const places: string[] = [];
  let pieces = '';
  const [first] = leaves;
  const model = first && modelOf(first);
  for (const leaf of leaves) {
    const like = leaf === first ? undefined : model;
    const { head, tail, piece } = (like && pieceOf(leaf, like)) ?? { head: 0, tail: 0, piece: leaf.text };
    places.push(`[${quote(leaf.rev)},${String(head)},${String(tail)},${String(piece.length)}]`);
    pieces += piece;
  }
  return `[${places.join(',')}]\n${pieces}`;
}

/**
 * A leaf by which others are stored: what stands before its revision, and behind it. Both are pieces of its text: to put it
 * together anew for each of the others would take long where it is.
 */
interface Model {
  readonly before: string;
  readonly behind: string;
}

/** The revision stands near the beginning of what we stored, unless the id is long. */
const NEAR = 1024;

function modelOf({ rev, text }: JournalLeaf): Model | undefined {
  const name = '"_rev":';
  const at = text.slice(0, NEAR).indexOf(`${name}${quote(rev)}`) + name.length;
  if (at < name.length) return undefined;
  return { before: text.slice(0, at), behind: text.slice(at + quote(rev).length) };
}

interface Piece {
  readonly head: number;
  readonly tail: number;
  readonly piece: string;
}

/** What differs; undefined where that is hardly less than the leaf. */
function pieceOf({ rev, text }: JournalLeaf, { before, behind }: Model): Piece | undefined {
  const start = before + quote(rev);
  if (!text.startsWith(start)) return undefined;
  const own = text.slice(start.length);
  const most = Math.min(own.length, behind.length);
  const head = beforePair(own, alikeAtBeginnings(behind, own));
  const end = afterPair(own, own.length - Math.min(alikeAtEnds(behind, own), most - head));
  if (end - head >= text.length / 2) return undefined;
  return { head: start.length + head, tail: own.length - end, piece: own.slice(head, end) };
}

/** The leaves of a stored value; none where it cannot be read. */
export function leavesIn(stored: string): readonly JournalLeaf[] {
  const line = stored.indexOf('\n');
  const leaves: JournalLeaf[] = [];
  let model: Model | undefined;
  let at = line + 1;
  for (const [rev, head, tail, length] of placesIn(stored.slice(0, line))) {
    const piece = stored.slice(at, (at += length));
    const text = head + tail === 0 ? piece : model && restored(rev, { head, tail, piece }, model);
    if (text === undefined) return [];
    leaves.push({ rev, text });
    if (leaves.length === 1) model = modelOf({ rev, text });
  }
  return at === stored.length ? leaves : [];
}

/** @returns undefined for what was not made of the model */
function restored(rev: string, { head, tail, piece }: Piece, { before, behind }: Model): string | undefined {
  const start = before + quote(rev);
  const alike = head - start.length;
  if (alike < 0 || alike + tail > behind.length) return undefined;
  return start + behind.slice(0, alike) + piece + behind.slice(behind.length - tail);
}

function placesIn(line: string): readonly Place[] {
  try {
    const places = JSON.parse(line) as readonly (readonly unknown[])[];
    return places.every(isPlace) ? places : [];
  } catch {
    return [];
  }
}

const isPlace = (place: readonly unknown[]): place is Place =>
  place.length === 4 && typeof place[0] === 'string' && place.slice(1).every(isCount);

const isCount = (number: unknown): boolean => Number.isSafeInteger(number) && Number(number) >= 0;

/**
 * A leaf as the journal has it.
 * @returns undefined where the entry has no such leaf, `damaged` where it may have it in what cannot be read
 */
export async function findLeaf(
  level: ClassicLevel,
  { number, rev }: { readonly number: number; readonly rev: string },
): Promise<JournalLeaf | 'damaged' | undefined> {
  let isWhole = true;
  for await (const stored of level.values(leavesOf(number))) {
    const leaves = leavesIn(stored);
    const leaf = leaves.find((one) => one.rev === rev);
    if (leaf !== undefined) return leaf;
    isWhole &&= leaves.length > 0;
  }
  return isWhole ? undefined : 'damaged';
}

/** Half a pair of surrogates would not be stored as what it is. */
const beforePair = (text: string, at: number): number => (isWithinPair(text, at) ? at - 1 : at);
const afterPair = (text: string, at: number): number => (isWithinPair(text, at) ? at + 1 : at);

function isWithinPair(text: string, at: number): boolean {
  const unit = text.charCodeAt(at);
  return at > 0 && at < text.length && unit >= 0xdc00 && unit <= 0xdfff;
}
