import { CouchError } from '../errors.js';
import { moving } from '../json/exact.js';
import { members } from '../json/text.js';
import type { Work } from '../json/turns.js';
import { matcherOf } from './match.js';
import { parseSelector } from './parse.js';
import { lookUp, MISSING, NO_PATH, parsePath } from './path.js';
import { isObject, type Json, type Path, type Selector } from './types.js';
import { settled } from './verdict.js';

export type Direction = 'asc' | 'desc';

/** One of the fields that an index has, in their order. */
export interface Column {
  /** As it was given, with dots between names. */
  readonly field: string;
  readonly path: Path;
  readonly direction: Direction;
}

/** An index with more columns is none. */
export const MOST_COLUMNS = 100;

/** What Mango keeps in a view, as a design document has it in the place of a map function. */
export interface IndexDefinition {
  readonly columns: readonly Column[];
  /** What a document must fit to be in the index; undefined where all are. */
  readonly partial: Selector | undefined;
}

/**
 * Reads what stands for a map function in a design document with `language: query`.
 * @param map JSON text
 * @returns undefined where it is no definition of an index: such a view has no rows
 */
export function parseDefinition(map: string): IndexDefinition | undefined {
  try {
    return read(map);
  } catch (error) {
    if (error instanceof CouchError) return undefined;
    throw error;
  }
}

function read(map: string): IndexDefinition | undefined {
  const fields = members(members(map)?.get('fields') ?? 'null');
  if (fields === undefined || fields.size > MOST_COLUMNS) return undefined;
  const columns: Column[] = [];
  for (const [field, text] of fields) {
    const direction: unknown = JSON.parse(text);
    if (direction !== 'asc' && direction !== 'desc') return undefined;
    columns.push({ field, path: parsePath(field), direction });
  }
  const { partial_filter_selector: filter, selector } = JSON.parse(map) as Json;
  const given = [filter, selector].find((one) => isObject(one) && Object.keys(one).length > 0);
  return { columns, partial: given === undefined ? undefined : parseSelector(given) };
}

/**
 * What an index has of a document, which it is told as a value and as the text of that.
 * @returns the values of its columns as JSON text; undefined where the document is not in it
 */
export function indexer({
  columns,
  partial,
}: IndexDefinition): (document: Json, text: string) => Work<string | undefined> {
  const isIn = partial === undefined ? undefined : matcherOf(partial);
  const valuesOf = (document: unknown): readonly unknown[] =>
    columns.map(({ path }) => lookUp(document, path));
  return function* (document, text) {
    if (typeof document._id === 'string' && document._id.startsWith('_design/')) return undefined;
    if (isIn !== undefined && !(yield* settled(isIn(document)))) return undefined;
    const values = valuesOf(document);
    if (values.includes(MISSING) || values.includes(NO_PATH)) return undefined;
    return yield* moving(text, valuesOf, document);
  };
}
