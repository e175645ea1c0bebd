import { isAscii, isUtf8 } from 'node:buffer';
import { putLast } from './containers.js';
import { JsonError, JsonReader } from './reader.js';
import { atOnce, inTurns, type Work } from './turns.js';

/** The text of a body that must be UTF-8 without a byte order mark. @throws JsonError */
export function decodeBody(body: Buffer): string {
  if (!isUtf8(body) || (body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf))
    throw new JsonError('not UTF-8');
  return body.toString('utf8');
}

/** So many bytes are decoded at a time. */
const PART = 65_536;

/** `decodeBody` for a body as it arrived, which may be long. */
export function decodeInTurns(chunks: readonly Buffer[]): string | Promise<string> {
  const [first] = chunks;
  if (chunks.length === 1 && first !== undefined && first.length <= PART) return decodeBody(first);
  return inTurns(decode(chunks));
}

function* decode(chunks: readonly Buffer[]): Work<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const parts: string[] = [];
  // Up to the first other character ASCII is copied, which takes half the time.
  let isPlain = true;
  try {
    for (const chunk of chunks) {
      for (let at = 0; at < chunk.length; at += PART) {
        const bytes = chunk.subarray(at, at + PART);
        isPlain &&= isAscii(bytes);
        parts.push(isPlain ? bytes.toString('latin1') : decoder.decode(bytes, { stream: true }));
        yield;
      }
    }
    parts.push(decoder.decode());
  } catch {
    throw new JsonError('not UTF-8');
  }
  const text = parts.join('');
  if (text.startsWith('\ufeff')) throw new JsonError('not UTF-8');
  return text;
}

/** A whole JSON text in the form that `JsonReader` describes. @throws JsonError */
export function normalise(text: string): string {
  const reader = new JsonReader(text);
  const result = reader.readText();
  reader.end();
  return result;
}

/** A whole JSON text as a value; unlike `JSON.parse` it refuses lone surrogates and too deep nesting. @throws JsonError */
export function parseJson(text: string): unknown {
  return JSON.parse(normalise(text)) as unknown;
}

/**
 * The members of an object, each as text, in order.
 * @returns undefined where the text is JSON but no object.
 * @throws JsonError
 */
export const members = (text: string): Map<string, string> | undefined => atOnce(readMembers(text));

/** What stands in an object at a path, as text: so objects keep the order of their members; `null` for nothing. */
export const textAt = (text: string, path: readonly string[]): string =>
  path.reduce((object, name) => members(object)?.get(name) ?? 'null', text);

/** `members` of a text that may be long. */
export const membersInTurns = (text: string): MaybeLater<Map<string, string> | undefined> =>
  inTurns(readMembers(text));

/** The elements of an array, each as text; undefined where the text is JSON but no array. @throws JsonError */
export const elements = (text: string): string[] | undefined =>
  atOnce(readElements(text, (element) => element));

/** The elements of an array that may be long, as values. */
export const valuesInTurns = (text: string): MaybeLater<unknown[] | undefined> =>
  inTurns(readElements<unknown>(text, (element) => JSON.parse(element)));

type MaybeLater<T> = T | Promise<T>;

/** `members`, bit by bit. */
export function* readMembers(text: string): Work<Map<string, string> | undefined> {
  const reader = new JsonReader(text);
  if (reader.peek() !== 'object') return yield* refuse(reader);
  const found = new Map<string, string>();
  reader.openObject();
  for (let name = reader.nextMember(); name !== undefined; name = reader.nextMember()) {
    putLast(found, name, yield* reader.readLongText());
    yield;
  }
  reader.end();
  return found;
}

function* readElements<T>(text: string, take: (element: string) => T): Work<T[] | undefined> {
  const reader = new JsonReader(text);
  if (reader.peek() !== 'array') return yield* refuse(reader);
  const found: T[] = [];
  reader.openArray();
  while (reader.nextElement()) {
    found.push(take(yield* reader.readLongText()));
    yield;
  }
  reader.end();
  return found;
}

/** Finds out whether what is of another kind is JSON at all. */
function* refuse(reader: JsonReader): Work<undefined> {
  yield* reader.skip();
  reader.end();
  return undefined;
}
