import { badConfig } from '../config/layers.js';
import { type ConfiguredRule, MergeRule, MergeRuleError } from '../conflicts/rules.js';
import type { Config } from '../config/schema.js';
import { CouchError } from '../errors.js';
import { compileSelector } from '../selector/match.js';
import { isDatabaseName } from '../store/names.js';

type Rule = Config['databases'][number];
export type Mode = Rule['mode'];

/** What a mirror is to be like. */
export interface MirrorRule {
  /** Of the rule, for those who are told of it. */
  readonly match: string;
  /** Made at the start, or when somebody first asks for the database. */
  readonly start: 'eager' | 'on-demand';
  readonly direction: 'both' | 'pull' | 'push';
  /** Mango, as JSON text: only what fits is mirrored. */
  readonly selector: string | undefined;
  /** Only these documents are. */
  readonly docIds: readonly string[] | undefined;
  /** Whether databases may be made here while the upstream is away. */
  readonly createOffline: boolean;
}

interface Known {
  readonly pattern: RegExp;
  readonly rule: Rule;
  readonly merge: ConfiguredRule | undefined;
}

/** `_users` and the like, and `any/_replicator`. */
const SYSTEM = /(^|\/)_/;

/** Names whose rule is remembered. */
const MOST = 10_000;

/** Says where a database is, by its name: the first rule that matches counts. */
export class Rules {
  readonly #rules: readonly Known[];
  readonly #found = new Map<string, Known | undefined>();

  /** @throws StartError for a selector that is none, and for a way to merge that there is not */
  constructor(rules: readonly Rule[]) {
    for (const [at, { selector }] of rules.entries()) if (selector !== undefined) checkSelector(selector, at);
    this.#rules = rules.map((rule, at) => ({
      pattern: patternOf(rule.match),
      rule,
      merge: mergeOf(rule, at),
    }));
  }

  /** @throws StartError as the constructor does */
  static of({ upstream, databases }: Pick<Config, 'upstream' | 'databases'>): Rules {
    const isUnsaid = upstream.url !== undefined && databases.length === 0;
    return new Rules(isUnsaid ? [{ match: '*', mode: 'mirror' }] : databases);
  }

  /** What the mirror of a database is to be like; undefined where it is to have none. */
  mirrorOf(name: string): MirrorRule | undefined {
    const rule = this.ruleOf(name);
    if (rule?.mode !== 'mirror') return undefined;
    const { match, start = 'on-demand', direction = 'both', selector, docIds, createOffline = false } = rule;
    const text = selector && JSON.stringify(selector);
    return { match, start, direction, selector: text, docIds, createOffline };
  }

  modeOf(name: string): Mode {
    return this.ruleOf(name)?.mode ?? 'local';
  }

  /** The rule of a database; undefined where none matches, which means that it is local. */
  ruleOf(name: string): Rule | undefined {
    return this.#knownOf(name)?.rule;
  }

  /** How conflicts of a database are resolved; undefined where they are kept. */
  mergeOf(name: string): ConfiguredRule | undefined {
    return this.#knownOf(name)?.merge;
  }

  #knownOf(name: string): Known | undefined {
    if (this.#found.has(name)) return this.#found.get(name);
    const rule = this.#find(name);
    if (this.#found.size >= MOST) this.#found.clear();
    this.#found.set(name, rule);
    return rule;
  }

  /** Names that are to be mirrored from the start. */
  get eagerNames(): readonly string[] {
    return this.#rules.flatMap(({ rule }) => {
      const { match } = rule;
      return this.#isEager(rule) && isDatabaseName(match) && this.ruleOf(match) === rule ? [match] : [];
    });
  }

  /** Whether names that nobody knows yet may be mirrored from the start. */
  get hasEagerPatterns(): boolean {
    return this.#rules.some(({ rule }) => this.#isEager(rule) && !isDatabaseName(rule.match));
  }

  #isEager({ mode, start }: Rule): boolean {
    return mode === 'mirror' && start === 'eager';
  }

  #find(name: string): Known | undefined {
    // Those belong to each server itself: two that had one `_replicator` would both replicate what it asks for.
    if (SYSTEM.test(name)) return undefined;
    // What can be no database has none elsewhere.
    if (!isDatabaseName(name)) return undefined;
    return this.#rules.find(({ pattern }) => pattern.test(name));
  }
}

function checkSelector(selector: Readonly<Record<string, unknown>>, at: number): void {
  try {
    compileSelector(selector);
  } catch (error) {
    if (!(error instanceof CouchError)) throw error;
    throw badConfig([`databases.${at}.selector: ${error.reason}`], error);
  }
}

function mergeOf({ merge }: Rule, at: number): ConfiguredRule | undefined {
  try {
    return merge === undefined ? undefined : MergeRule.of(merge);
  } catch (error) {
    if (!(error instanceof MergeRuleError)) throw error;
    throw badConfig(
      error.lines.map((line) => `databases.${at}.merge: ${line}`),
      error,
    );
  }
}

/** `*` stands for any text, `?` for any character, and the whole name counts. */
function patternOf(match: string): RegExp {
  const source = match.replace(/[$()+/-]|\*+|\?/g, (part) =>
    part.startsWith('*') ? '.*' : part === '?' ? '.' : `\\${part}`,
  );
  return new RegExp(`^${source}$`, 's');
}
