import type { Work } from '../json/turns.js';
import { pointer } from './functions/fields.js';
import type { AttachmentSummary, Content } from './types.js';
import { type ArrayValue, type ObjectValue, type Value, Values } from './value.js';
import { readMembers } from './value-reader.js';

/** What differs at one place: values as JSON text, left out where there is none. */
export interface Difference {
  readonly kind: 'added' | 'removed' | 'changed';
  /** A JSON pointer. */
  readonly path: string;
  readonly from?: string;
  readonly to?: string;
}

export interface Differences {
  /** In the order of what it was made to. */
  readonly differences: readonly Difference[];
  /** Whether there are more. */
  readonly isCut: boolean;
}

/**
 * What one content was made to, field by field: objects by their members, arrays by what stands between an equal beginning
 * and an equal end. Numbers are equal by their exact value. Attachments are members of `_attachments`, equal by digest and
 * content type.
 * @param most so many differences are named
 */
export function* differences(from: Content, to: Content, most: number): Work<Differences> {
  const values = new Values();
  const left = yield* readMembers(values, from.body);
  const right = yield* readMembers(values, to.body);
  const found: Difference[] = [];
  for (const one of inMembers(values, left, right)) {
    yield;
    if (one === undefined) continue;
    if (found.length === most) return { differences: found, isCut: true };
    found.push(one);
  }
  for (const one of inAttachments(from.attachments, to.attachments)) {
    if (found.length === most) return { differences: found, isCut: true };
    found.push(one);
  }
  return { differences: found, isCut: false };
}

/** Two values of the same place; one of them may not be there. */
interface Pair {
  readonly path: string;
  readonly from: Value | undefined;
  readonly to: Value | undefined;
}

/** One step for each value that is looked at. */
function* inMembers(values: Values, from: ObjectValue, to: ObjectValue): Generator<Difference | undefined> {
  // Not by calling itself: values nest deep.
  const open: Iterator<Pair>[] = [ofMembers('', from, to)];
  for (let inner = open.at(-1); inner !== undefined; inner = open.at(-1)) {
    const next = inner.next();
    if (next.done === true) {
      open.pop();
      continue;
    }
    const within = pairsWithin(values, next.value);
    if (within !== undefined) open.push(within);
    yield within === undefined ? differenceOf(values, next.value) : undefined;
  }
}

function differenceOf(values: Values, { path, from, to }: Pair): Difference | undefined {
  if (from === undefined) return to && { kind: 'added', path, to: to.text };
  if (to === undefined) return { kind: 'removed', path, from: from.text };
  if (values.areSame(from, to)) return undefined;
  return { kind: 'changed', path, from: from.text, to: to.text };
}

/** Undefined where they are to be compared as a whole. */
function pairsWithin(values: Values, { path, from, to }: Pair): Iterator<Pair> | undefined {
  if (from === undefined || to === undefined || from.text === to.text) return undefined;
  if (from.kind === 'object' && to.kind === 'object') return ofMembers(path, from, to);
  return from.kind === 'array' && to.kind === 'array' ? ofElements(values, path, from, to) : undefined;
}

function* ofMembers(path: string, from: ObjectValue, to: ObjectValue): Generator<Pair> {
  const place = (name: string): string => path + pointer([name]);
  for (const [name, value] of to.members)
    yield { path: place(name), from: from.members.get(name), to: value };
  for (const [name, value] of from.members)
    if (!to.members.has(name)) yield { path: place(name), from: value, to: undefined };
}

/**
 * The elements that are not in both are looked at one by one where there are as many of them in both, or none in one.
 * Otherwise nobody can tell which of them were which.
 */
function ofElements(
  values: Values,
  path: string,
  { elements: from }: ArrayValue,
  { elements: to }: ArrayValue,
): Generator<Pair> | undefined {
  const shorter = Math.min(from.length, to.length);
  let start = 0;
  while (start < shorter && isEqual(values, from[start], to[start])) start++;
  let end = 0;
  while (end < shorter - start && isEqual(values, from.at(-1 - end), to.at(-1 - end))) end++;
  const before = from.slice(start, from.length - end);
  const after = to.slice(start, to.length - end);
  const isClear = before.length === after.length || before.length === 0 || after.length === 0;
  return isClear ? pairsFrom(path, start, before, after) : undefined;
}

/** Of objects and arrays only those that are written alike: what lies in others is looked at later, where that counts. */
function isEqual(values: Values, a: Value | undefined, b: Value | undefined): boolean {
  if (a === undefined || b === undefined) return false;
  return a.kind === 'number' ? values.areSame(a, b) : a.text === b.text;
}

function* pairsFrom(
  path: string,
  start: number,
  from: readonly Value[],
  to: readonly Value[],
): Generator<Pair> {
  for (let at = 0; at < Math.max(from.length, to.length); at++)
    yield { path: `${path}/${String(start + at)}`, from: from[at], to: to[at] };
}

type Attachments = ReadonlyMap<string, AttachmentSummary>;

function* inAttachments(from: Attachments, to: Attachments): Generator<Difference> {
  for (const name of new Set([...to.keys(), ...from.keys()])) {
    const [before, after] = [from.get(name), to.get(name)];
    if (before?.digest === after?.digest && before?.contentType === after?.contentType) continue;
    yield {
      kind: before === undefined ? 'added' : after === undefined ? 'removed' : 'changed',
      path: pointer(['_attachments', name]),
      ...(before !== undefined && { from: attachmentText(before) }),
      ...(after !== undefined && { to: attachmentText(after) }),
    };
  }
}

/** An attachment as it is named in documents. */
export const attachmentText = ({ contentType, digest, length }: AttachmentSummary): string =>
  JSON.stringify({ content_type: contentType, digest, length });
