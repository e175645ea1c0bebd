import { JsonError, JsonReader } from './reader.js';
import type { Work } from './turns.js';

/** Characters of a text that is parsed at once: with many names that takes ten milliseconds (measured). */
export const LONG = 1 << 18;

/**
 * The value of a JSON text, bit by bit where that takes long. What PouchDB stores and `JsonReader` refuses (halves of
 * characters, deep nesting) is parsed at once.
 * @param adapt is applied to the text of values within, before they are parsed
 */
export function* parsing(text: string, adapt = (piece: string): string => piece): Work<unknown> {
  if (text.length <= LONG) return JSON.parse(adapt(text)) as unknown;
  try {
    return yield* valueIn(new JsonReader(text), adapt);
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    return JSON.parse(adapt(text)) as unknown;
  }
}

function* valueIn(reader: JsonReader, adapt: (piece: string) => string): Work<unknown> {
  if (reader.isTime()) yield;
  const piece = reader.readShortText();
  if (piece !== undefined) return JSON.parse(adapt(piece)) as unknown;
  if (reader.peek() === 'array') {
    const list: unknown[] = [];
    reader.openArray();
    while (reader.nextElement()) list.push(yield* valueIn(reader, adapt));
    return list;
  }
  const object = {};
  reader.openObject();
  for (let name = reader.nextMember(); name !== undefined; name = reader.nextMember())
    define(object, name, yield* valueIn(reader, adapt));
  return object;
}

/** Sets a member as JSON.parse does: `__proto__` is a name like any other. */
export function define(object: object, name: string, value: unknown): void {
  // To define one takes several times as long as to set one.
  if (name === '__proto__')
    Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
  else (object as Record<string, unknown>)[name] = value;
}

/** Values within one that is written at once. */
const FEW = 1000;

/** The JSON text of a value of JSON, bit by bit. */
export function* writing(value: unknown): Work<string> {
  if (typeof value !== 'object' || value === null || countTo(FEW, value) < FEW) return JSON.stringify(value);
  yield;
  const parts: string[] = [];
  if (Array.isArray(value)) {
    for (const one of value) {
      parts.push(yield* writing(one));
      yield;
    }
    return `[${parts.join(',')}]`;
  }
  for (const name of Object.keys(value)) {
    parts.push(`${JSON.stringify(name)}:${yield* writing((value as Record<string, unknown>)[name])}`);
    yield;
  }
  return `{${parts.join(',')}}`;
}

/** How many values are within one, as far as `most`. */
function countTo(most: number, value: object): number {
  let count = Array.isArray(value) ? value.length : Object.keys(value).length;
  if (count >= most) return count;
  for (const one of Object.values(value)) {
    if (typeof one === 'object' && one !== null) count += countTo(most - count, one as object);
    if (count >= most) return count;
  }
  return count;
}
