import type { Config } from '../config/schema.js';
import { isDatabaseName } from '../store/names.js';

type Rule = Config['databases'][number];
export type Mode = Rule['mode'];

/** Says where a database is, by its name: the first rule that matches counts. */
export class Rules {
  readonly #rules: readonly { readonly pattern: RegExp; readonly mode: Mode }[];

  constructor(rules: readonly Rule[]) {
    this.#rules = rules.map(({ match, mode }) => ({ pattern: patternOf(match), mode }));
  }

  modeOf(name: string): Mode {
    // Those that begin so belong to each server itself; what can be no database has none elsewhere.
    if (name.startsWith('_') || !isDatabaseName(name)) return 'local';
    return this.#rules.find(({ pattern }) => pattern.test(name))?.mode ?? 'local';
  }
}

/** `*` stands for any text, `?` for any character, and the whole name counts. */
function patternOf(match: string): RegExp {
  const source = match.replace(/[$()+/-]|\*+|\?/g, (part) =>
    part.startsWith('*') ? '.*' : part === '?' ? '.' : `\\${part}`,
  );
  return new RegExp(`^${source}$`, 's');
}
