import { inTurns, type Work } from '../json/turns.js';
import { parsing } from '../json/values.js';
import { indexer, parseDefinition } from '../selector/index-keys.js';
import type { Json } from '../selector/types.js';
import type { Emitted, Mapper, ViewGroup } from './types.js';

/** The map of Mango's indexes: what they are to have of each document. */
export function fieldMapper({ views }: ViewGroup): Mapper {
  const keysOf = views.map(({ map }) => {
    const definition = parseDefinition(map);
    return definition && indexer(definition);
  });
  function* mapped(documents: readonly string[]): Work<readonly Emitted[]> {
    const emitted: Emitted[] = [];
    for (const text of documents) {
      const document = (yield* parsing(text)) as Json;
      const rows: Emitted[number][] = [];
      for (const keyOf of keysOf) rows.push(row(keyOf && (yield* keyOf(document, text))));
      emitted.push(rows);
      yield;
    }
    return emitted;
  }
  return { map: async (documents) => inTurns(mapped(documents)) };
}

const row = (key: string | undefined): readonly string[] => (key === undefined ? [] : [key, 'null']);
