import path from 'node:path';
import type { FunctionConfig, MergeChoice, MergeConfig } from '../config/merge-schema.js';
import { CouchError } from '../errors.js';
import type { Work } from '../json/turns.js';
import { compileSelector, type Matcher } from '../selector/match.js';
import type { Json } from '../selector/types.js';
import { settled } from '../selector/verdict.js';
import type { Considered } from './considering.js';
import { type BuiltIn, builtIn, KEEP, MergeOptionsError } from './functions/builtin.js';
import type { LoadedDocument } from './loaded.js';

/** A way to merge that there is not. */
export class MergeRuleError extends Error {
  override readonly name = 'MergeRuleError';

  constructor(
    /** What is wrong. */
    readonly lines: readonly string[],
    options?: ErrorOptions,
  ) {
    super(lines.join('\n'), options);
  }
}

/** Where a merge function is that is not built in. */
export type ForeignSource = (
  | {
      readonly kind: 'module';
      /** Absolute. */
      readonly file: string;
    }
  | {
      readonly kind: 'design';
      /** Of the design document. */
      readonly id: string;
      /** In its `merges`. */
      readonly name: string;
    }
) & { readonly version: string; readonly equalIsSame: boolean };

type OfModule = Extract<FunctionConfig, { readonly module: string }>;
type OfDesign = Extract<FunctionConfig, { readonly design: string }>;

/** A merge function as it is at the moment in a database. */
export interface Merge {
  readonly version: string;
  /**
   * What becomes of a document.
   * @param mayMerge whether the function may be asked
   * @throws CageUnavailable where it cannot be asked now
   */
  readonly consider: (document: LoadedDocument, mayMerge: boolean) => Promise<Considered>;
}

interface Choice<Function> {
  /** For every document when left out. */
  readonly selector: unknown;
  readonly fits: Matcher | undefined;
  /** Undefined where the document stays in conflict. */
  readonly merge: Function | undefined;
}

/** A rule as the configuration has it: functions that are not built in are found in the database. */
export type ConfiguredRule = MergeRule<BuiltIn | ForeignSource>;

/**
 * How the conflicts of a database are resolved. The first choice counts whose selector the winning leaf fits: the same
 * leaves have the same winner everywhere.
 */
export class MergeRule<Function extends { readonly version: string } = Merge> {
  /** Another one where documents may be resolved otherwise. */
  readonly version: string;
  /** Whether the winning leaf has to be at hand for `functionFor`. */
  readonly asksWinner: boolean;

  private constructor(private readonly choices: readonly Choice<Function>[]) {
    const versions = choices.map(({ selector, merge }) => [selector ?? null, merge?.version ?? KEEP]);
    const [only] = choices;
    this.asksWinner = choices.some(({ fits }) => fits !== undefined);
    const isPlain = choices.length === 1 && only?.fits === undefined;
    this.version = isPlain ? (only?.merge?.version ?? KEEP) : JSON.stringify(versions);
  }

  /** @returns undefined where all conflicts are kept. @throws MergeRuleError */
  static of(config: MergeConfig): ConfiguredRule | undefined {
    const given = Array.isArray(config)
      ? config
      : [typeof config === 'string' ? { function: config } : config];
    const choices = given.map((one, at) => readChoice(one, Array.isArray(config) ? `${at}: ` : ''));
    return choices.every(({ merge }) => merge === undefined) ? undefined : new MergeRule(choices);
  }

  /** The same rule with other functions in the place of each. */
  map<Other extends { readonly version: string }>(other: (merge: Function) => Other): MergeRule<Other> {
    return new MergeRule(
      this.choices.map(({ merge, ...choice }) => ({ ...choice, merge: merge && other(merge) })),
    );
  }

  /**
   * The function that resolves the conflict of a document; undefined where it is kept.
   * @param winner reads the winning leaf, where that is asked for
   */
  *functionFor(winner: () => Json): Work<Function | undefined> {
    let document: Json | undefined;
    for (const { fits, merge } of this.choices) {
      if (fits === undefined || (yield* settled(fits((document ??= winner()))))) return merge;
    }
    return undefined;
  }
}

function readChoice({ selector, ...given }: MergeChoice, place: string): Choice<BuiltIn | ForeignSource> {
  try {
    const fits = selector === undefined ? undefined : compileSelector(selector);
    return { selector, fits, merge: sourceOf(given) };
  } catch (error) {
    const isKnown = error instanceof CouchError || error instanceof MergeOptionsError;
    if (!isKnown) throw error;
    const text = error instanceof CouchError ? `selector: ${error.reason}` : error.message;
    throw new MergeRuleError(
      text.split('\n').map((line) => place + line),
      { cause: error },
    );
  }
}

/**
 * @returns undefined where documents stay in conflict
 * @throws MergeOptionsError where there is no such function, or it has no such options
 */
export function sourceOf(given: FunctionConfig): BuiltIn | ForeignSource | undefined {
  if (!('function' in given)) return 'module' in given ? ofModule(given) : ofDesign(given);
  const { function: name, ...options } = given;
  if (name !== KEEP) return builtIn(name, options);
  const [option] = Object.keys(options);
  if (option === undefined) return undefined;
  throw new MergeOptionsError(`${KEEP} has no option ${option}`);
}

function ofModule({ module: file, equalIsSame = true }: OfModule): ForeignSource {
  return { kind: 'module', file: path.resolve(file), version: `module ${file}`, equalIsSame };
}

function ofDesign({ design, equalIsSame = true }: OfDesign): ForeignSource {
  const [id = '', name = ''] = design.split('/');
  return { kind: 'design', id: `_design/${id}`, name, version: `design ${design}`, equalIsSame };
}
