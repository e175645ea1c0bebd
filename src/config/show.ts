import { Document, isMap, isNode, isPair, visit } from 'yaml';
import { keys } from './keys.js';
import type { Config } from './schema.js';

const MASK = '***';

export interface ShowOptions {
  /** Put the sentence about each key above it. */
  docs?: boolean;
}

/** A configuration as YAML, with secrets masked. */
export function showConfig(config: Config, { docs = false }: ShowOptions = {}): string {
  const admins = Object.fromEntries(Object.keys(config.admins).map((name) => [name, MASK]));
  const document = new Document({ ...config, admins });
  if (docs) addDocs(document);
  return document.toString({ lineWidth: 110 });
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
