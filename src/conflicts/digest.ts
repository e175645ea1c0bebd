import { hash } from 'node:crypto';
import { quote } from '../json/quote.js';
import { atOnce, type Work } from '../json/turns.js';
import { byCodePoint, canonical, type Member, objectOf } from './canonical.js';
import type { Content } from './types.js';
import type { ObjectValue } from './value.js';

const known = new WeakMap<Content, string>();

/**
 * A digest of what a content means: equal for the same values, however they are written. The order of members counts
 * for nothing; numbers count as the decimal numbers that they are (`1.0` is `1` and `10e-1`, and beyond 2^53 every digit
 * counts).
 */
export const contentDigest = (content: Content): string => atOnce(digesting(content));

/** `contentDigest` for what may be long. */
export function* digesting(content: Content): Work<string> {
  return known.get(content) ?? noted(content, yield* canonical(`{${content.body}}`));
}

/** Members that are looked at before others may have their turn. */
const TURN = 1000;

/**
 * Works out the digest of a body whose members are at hand, for whoever asks for it later: those whose canonical text is known
 * are not read for it.
 */
export function* noteDigest(content: Content, { members }: ObjectValue): Work<void> {
  const all: Member[] = [];
  for (const [name, value] of members) {
    const quoted = quote(name);
    const text = value.canonical ?? (yield* canonical(value.text));
    all.push({ key: quoted.slice(1, -1), text: `${quoted}:${text}` });
    if (all.length % TURN === 0) yield;
  }
  const body = objectOf(all);
  noted(content, typeof body === 'string' ? body : yield* body);
}

function noted(content: Content, canonicalBody: string): string {
  const attachments = [...content.attachments]
    .map(([name, { contentType, digest }]) => [name, contentType, digest])
    .sort(([a = ''], [b = '']) => byCodePoint(a, b));
  const digest = hash('sha256', JSON.stringify(attachments) + canonicalBody);
  known.set(content, digest);
  return digest;
}
