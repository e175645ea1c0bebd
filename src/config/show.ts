import { Document, isMap, isNode, isPair, visit } from 'yaml';
import { keys } from './keys.js';
import { isSection, put, valueAt, type Values } from './layers.js';
import type { Config } from './schema.js';

const MASK = '***';

export interface ShowOptions {
  /** Put the sentence about each key above it. */
  docs?: boolean;
}

/** A configuration as YAML, with secrets masked. */
export function showConfig(config: Config, { docs = false }: ShowOptions = {}): string {
  const document = new Document(masked(config));
  if (docs) addDocs(document);
  return document.toString({ lineWidth: 110 });
}

function masked(config: Config): Values {
  const shown: Values = structuredClone(config);
  for (const key of keys) {
    const value = valueAt(shown, key.path);
    if (key.secret && value !== undefined) put(shown, key, mask(value));
  }
  return shown;
}

/** Of a map, the names are no secret. */
function mask(value: unknown): unknown {
  return isSection(value) ? Object.fromEntries(Object.keys(value).map((name) => [name, MASK])) : MASK;
}

function addDocs(document: Document): void {
  visit(document, {
    Pair(_, pair, ancestors) {
      const path = [...ancestors, pair].filter((node) => isPair(node)).map((node) => String(node.key));
      const key = keys.find(({ name }) => name === path.join('.'));
      if (key && isNode(pair.key)) pair.key.commentBefore = ` ${key.doc}`;
      return isMap(pair.value) && !key ? undefined : visit.SKIP;
    },
  });
}
