import type { MergeConfig } from '../config/merge-schema.js';
import { CouchError } from '../errors.js';
import { compileSelector } from '../selector/match.js';
import type { Json } from '../selector/types.js';
import { type BuiltIn, builtIn, MergeOptionsError } from './functions/builtin.js';

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

/** Conflicts stay as they are. */
const KEEP = 'keep';

interface Choice {
  /** For every document when left out. */
  readonly fits: ((winner: Json) => boolean) | undefined;
  /** Undefined where the document stays in conflict. */
  readonly merge: BuiltIn | undefined;
}

/**
 * How the conflicts of a database are resolved. The first choice counts whose selector the winning leaf fits: the same
 * leaves have the same winner everywhere.
 */
export class MergeRule {
  private constructor(
    private readonly choices: readonly Choice[],
    /** Another one where documents may be resolved otherwise. */
    readonly version: string,
  ) {}

  /** @returns undefined where all conflicts are kept. @throws MergeRuleError */
  static of(config: MergeConfig): MergeRule | undefined {
    const given = Array.isArray(config)
      ? config
      : [typeof config === 'string' ? { function: config } : config];
    const choices = given.map((one, at) => readChoice(one, Array.isArray(config) ? `${at}: ` : ''));
    if (choices.every(({ merge }) => merge === undefined)) return undefined;
    const versions = choices.map(({ merge }, at) => [given[at]?.selector ?? null, merge?.version ?? KEEP]);
    const [only] = choices;
    const isPlain = choices.length === 1 && only?.fits === undefined;
    return new MergeRule(choices, isPlain ? (only?.merge?.version ?? KEEP) : JSON.stringify(versions));
  }

  /**
   * The function that resolves the conflict of a document; undefined where it is kept.
   * @param winner reads the winning leaf, where that is asked for
   */
  functionFor(winner: () => Json): BuiltIn | undefined {
    let document: Json | undefined;
    return this.choices.find(({ fits }) => fits === undefined || fits((document ??= winner())))?.merge;
  }
}

function readChoice(
  { function: name, selector, ...options }: Exclude<MergeConfig, string | unknown[]>,
  place: string,
): Choice {
  try {
    const fits = selector === undefined ? undefined : compileSelector(selector);
    if (name !== KEEP) return { fits, merge: builtIn(name, options) };
    const [option] = Object.keys(options);
    if (option === undefined) return { fits, merge: undefined };
    throw new MergeOptionsError(`${KEEP} has no option ${option}`);
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
