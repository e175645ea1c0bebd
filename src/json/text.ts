import { isUtf8 } from 'node:buffer';
import { JsonError, JsonReader } from './reader.js';

/** The text of a body that must be UTF-8 without a byte order mark. @throws JsonError */
export function decodeBody(body: Buffer): string {
  if (!isUtf8(body) || (body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf))
    throw new JsonError('not UTF-8');
  return body.toString('utf8');
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
 * The members of an object, each as text, in the order of their first appearance.
 * @returns undefined where the text is JSON but no object.
 * @throws JsonError
 */
export function members(text: string): Map<string, string> | undefined {
  const reader = new JsonReader(text);
  if (reader.peek() !== 'object') {
    reader.readText();
    reader.end();
    return undefined;
  }
  const found = new Map<string, string>();
  reader.readObject((name) => found.set(name, reader.readText()));
  reader.end();
  return found;
}

/** The elements of an array, each as text; undefined where the text is JSON but no array. @throws JsonError */
export function elements(text: string): string[] | undefined {
  const reader = new JsonReader(text);
  if (reader.peek() !== 'array') {
    reader.readText();
    reader.end();
    return undefined;
  }
  const found: string[] = [];
  reader.readArray(() => found.push(reader.readText()));
  reader.end();
  return found;
}
