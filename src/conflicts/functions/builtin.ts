import { nearest } from '../../config/nearest.js';
import { keepBoth } from './keep-both.js';
import { lastWriteWins } from './last-write-wins.js';
import { type BuiltInName, builtInNames, fieldRules, MergeOptionsError, parseOptions } from './options.js';
import { text } from './text.js';
import { type Merging, threeWay } from './three-way.js';
import { union } from './union.js';

export { MergeOptionsError } from './options.js';

/** A merge function that is part of the server. Pure, as all of them are. */
export interface BuiltIn {
  readonly name: BuiltInName;
  /** As they were read: whatever becomes of what was given, they stay. */
  readonly options: Readonly<Record<string, unknown>>;
  /**
   * Names the function, what it does and its options: the journal keeps it, and gateways that have another one may
   * resolve the same conflict otherwise.
   */
  readonly version: string;
  /** Whether leaves with the same content are one to it; not where it adds up what each of them says. */
  readonly equalIsSame: boolean;
  /** Does its work bit by bit: documents may be long. */
  readonly resolve: Merging;
}

/** To be raised with each change of what a function answers: gateways with the same number answer alike. */
const VERSIONS: Readonly<Record<BuiltInName, number>> = {
  'three-way': 1,
  'last-write-wins': 1,
  union: 1,
  'keep-both': 1,
  text: 1,
};

/** Stands in the place of a function where conflicts stay as they are. */
export const KEEP = 'keep';

/**
 * @param options as given, without the name
 * @throws MergeOptionsError where there is no such function, or it has no such options
 */
export function builtIn(name: string, options: Readonly<Record<string, unknown>> = {}): BuiltIn {
  const known = builtInNames.find((one) => one === name);
  if (known === undefined) {
    const names = [...builtInNames, KEEP];
    const near = nearest(name, names);
    const hint = near === undefined ? `there are ${names.join(', ')}` : `did you mean ${near}?`;
    throw new MergeOptionsError(`there is no merge function ${name}; ${hint}`);
  }
  const parsed = parseOptions(known, options);
  const version = `${known} ${VERSIONS[known]} ${JSON.stringify(parsed)}`;
  return {
    name: known,
    options: parsed,
    version,
    equalIsSame: !hasCounters(parsed),
    resolve: mergingOf(known, parsed),
  };
}

function hasCounters(parsed: object): boolean {
  const rules = 'fields' in parsed ? fieldRules(parsed.fields as Parameters<typeof fieldRules>[0]) : {};
  return Object.values(rules).some(({ as }) => as === 'counter');
}

function mergingOf(name: BuiltInName, options: unknown): Merging {
  switch (name) {
    case 'three-way':
      return threeWay(parseOptions(name, options));
    case 'last-write-wins':
      return lastWriteWins(parseOptions(name, options));
    case 'union':
      return union(parseOptions(name, options));
    case 'keep-both':
      return keepBoth;
    case 'text':
      return text(parseOptions(name, options));
  }
}
