import { CouchError } from '../errors.js';
import { requireInside } from './rewrite-path.js';
import { isObject, type Json } from './values.js';

type Pairs = readonly (readonly [key: string, value: string])[];

/** A request to `_rewrite`, as rules look at it. */
export interface RuledRequest {
  readonly method: string;
  /** The parts of the path behind `_rewrite`, decoded. */
  readonly path: readonly string[];
  readonly query: Pairs;
}

/** Where a rule sends a request: in the same database. */
export interface RuledTarget {
  /** The parts of the path behind that of the database, decoded. */
  readonly path: readonly string[];
  readonly query: Pairs;
}

/** What a rule took from a request. */
interface Match {
  /** Variables of the path, in its order. */
  readonly variables: Pairs;
  /** What `*` stands for. */
  readonly rest: readonly string[];
}

/**
 * Where the first rule that fits sends a request; undefined where none does.
 * @param rules the array `rewrites` of a design document
 * @param base the path of that document behind that of its database: rules are relative to it
 * @throws CouchError 500 for rules that are none, and those that lead out of the database
 */
export function applyRules(
  rules: readonly unknown[],
  base: readonly string[],
  request: RuledRequest,
): RuledTarget | undefined {
  for (const rule of rules) {
    if (!isObject(rule)) continue;
    const match = methodFits(rule.method, request.method) ? matchPath(rule.from, request.path) : undefined;
    if (match !== undefined) return target(rule, base, request, match);
  }
  return undefined;
}

const methodFits = (given: unknown = '*', method: string): boolean => given === '*' || given === method;

const partsOf = (path: string): string[] => path.split('/').filter((part) => part !== '');

const isVariable = (part: string): boolean => part.length > 1 && part.startsWith(':');

function matchPath(from: unknown = '*', path: readonly string[]): Match | undefined {
  if (typeof from !== 'string') throw invalidRule('from');
  const variables: [string, string][] = [];
  const pattern = partsOf(from);
  for (const [at, part] of pattern.entries()) {
    const isLast = at === pattern.length - 1;
    if (isLast && part === '*') return { variables, rest: path.slice(at) };
    const given = path[at];
    if (given === undefined) return undefined;
    if (isVariable(part)) variables.push([part.slice(1), given]);
    else if (part !== '*' && part !== given) return undefined;
  }
  return path.length === pattern.length ? { variables, rest: [] } : undefined;
}

function target(rule: Json, base: readonly string[], request: RuledRequest, match: Match): RuledTarget {
  const { variables } = match;
  // What the path says counts for more than what the query says, and the last of several for more than the others.
  const bindings = new Map([...[...request.query].reverse(), ...variables]);
  const set = queryOf(rule, bindings);
  const isFree = ([key]: readonly [string, string]): boolean => !set.some(([name]) => name === key);
  return {
    path: requireInside([...base, ...pathOf(rule.to, bindings, match.rest)]),
    query: [...set, ...request.query.filter(isFree), ...variables.filter(isFree)],
  };
}

function pathOf(
  to: unknown,
  bindings: ReadonlyMap<string, string>,
  rest: readonly string[],
): readonly string[] {
  if (typeof to !== 'string') throw new CouchError(500, 'error', 'invalid_rewrite_target');
  const parts: string[] = [];
  for (const part of partsOf(to)) {
    if (part === '*') return [...parts, ...rest];
    parts.push(isVariable(part) ? (bindings.get(part.slice(1)) ?? 'undefined') : part);
  }
  return parts;
}

// ---- the query ------------------------------------------------------------------------------------------------

/** Parameters that hold JSON. */
const JSON_PARAMETERS: ReadonlySet<string> = new Set([
  'key',
  'keys',
  'startkey',
  'start_key',
  'endkey',
  'end_key',
]);

function queryOf({ query = {}, formats = {} }: Json, bindings: ReadonlyMap<string, string>): Pairs {
  if (!isObject(query)) throw invalidRule('query');
  const textOf = (value: unknown): string => jsonOf(value, bindings, isObject(formats) ? formats : {});
  return Object.entries(query).map(([key, value]) => [
    key,
    JSON_PARAMETERS.has(key)
      ? Array.isArray(value)
        ? `[${value.map(textOf).join(',')}]`
        : textOf(value)
      : Array.isArray(value)
        ? value.map((one) => plain(textOf(one))).join('')
        : plain(textOf(value)),
  ]);
}

/** A value of a rule as JSON, with what its variable stands for in the format that the rule states. */
function jsonOf(value: unknown, bindings: ReadonlyMap<string, string>, formats: Json): string {
  const name = typeof value === 'string' && isVariable(value) ? value.slice(1) : undefined;
  const bound = name === undefined ? undefined : bindings.get(name);
  if (name === undefined || bound === undefined) return JSON.stringify(value);
  const format = Object.hasOwn(formats, name) ? formats[name] : undefined;
  if (format === 'int' && INTEGER.test(bound)) return String(BigInt(bound.replace('+', '')));
  if (format === 'bool' && (bound === 'true' || bound === 'false')) return bound;
  return JSON.stringify(bound);
}

/** Longer ones stay text: they take long to read. */
const INTEGER = /^[+-]?[0-9]{1,300}$/;

/** What is no text stays JSON. */
function plain(json: string): string {
  const value: unknown = json.startsWith('"') ? JSON.parse(json) : json;
  return String(value);
}

const invalidRule = (member: string): CouchError =>
  new CouchError(500, 'rewrite_error', `a rewrite rule has an invalid \`${member}\``);
