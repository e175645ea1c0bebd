import { CouchError } from '../errors.js';

type Json = Readonly<Record<string, unknown>>;
type Kind = 'object' | 'string' | 'array' | 'boolean';

/** Stands for every name in a path. */
const ANY = Symbol('any');

type Step = readonly [name: string | typeof ANY, kinds: readonly Kind[]];

const OBJECT: readonly Kind[] = ['object'];
const FUNCTION: readonly Kind[] = ['string', 'object'];

/** What CouchDB demands of the members of a design document that it uses itself. */
const RULES: readonly (readonly Step[])[] = [
  [
    ['filters', OBJECT],
    [ANY, FUNCTION],
  ],
  [['language', ['string']]],
  [
    ['lists', OBJECT],
    [ANY, FUNCTION],
  ],
  [['options', OBJECT]],
  [
    ['options', OBJECT],
    ['include_design', ['boolean']],
  ],
  [
    ['options', OBJECT],
    ['local_seq', ['boolean']],
  ],
  [
    ['options', OBJECT],
    ['partitioned', ['boolean']],
  ],
  [['rewrites', ['array', 'string']]],
  [
    ['shows', OBJECT],
    [ANY, FUNCTION],
  ],
  [
    ['updates', OBJECT],
    [ANY, FUNCTION],
  ],
  [['validate_doc_update', ['string']]],
  [
    ['views', OBJECT],
    ['lib', OBJECT],
  ],
];

const BUILT_IN_REDUCES = ['_sum', '_count', '_stats', '_approx_count_distinct', '_first', '_last'];
const MAX_RANK = 100;

const invalid = (reason: string): CouchError => new CouchError(400, 'invalid_design_doc', reason);

/**
 * @param text the document
 * @param isPartitioned whether its database is
 * @returns whether there are functions in JavaScript to be compiled before it is written
 * @throws CouchError 400
 */
export function checkDesignDocument(text: string, isPartitioned: boolean): boolean {
  const document = JSON.parse(text) as Json;
  for (const rule of RULES) checkPath(document, rule, []);
  const map: readonly Kind[] = document.language === 'query' ? OBJECT : ['string'];
  checkPath(
    document,
    [
      ['views', OBJECT],
      [ANY, OBJECT],
      ['map', map],
    ],
    [],
  );
  checkPath(
    document,
    [
      ['views', OBJECT],
      [ANY, OBJECT],
      ['reduce', ['string']],
    ],
    [],
  );
  if (isObject(document.views)) checkViews(document.views);
  if (!isPartitioned && isObject(document.options) && document.options.partitioned === true) {
    throw invalid('partitioned option cannot be true in a non-partitioned database.');
  }
  return isJavaScript(document.language) && isObject(document.views) && !isEmpty(document.views);
}

/** CouchDB asks for the language without regard to its case; functions in any that it does not know are kept as they are. */
const isJavaScript = (language: unknown): boolean =>
  language === undefined || (typeof language === 'string' && language.toLowerCase() === 'javascript');

const isEmpty = (value: Json): boolean => Object.keys(value).length === 0;

function checkPath(value: Json, [step, ...rest]: readonly Step[], path: readonly string[]): void {
  if (step === undefined) return;
  const [name, kinds] = step;
  const names = name === ANY ? Object.keys(value) : [name];
  for (const key of names) {
    if (!Object.hasOwn(value, key)) continue;
    const inner = value[key];
    const here = [...path, key];
    if (!kinds.some((kind) => is(kind, inner))) {
      throw invalid(`\`${here.join('.')}\` field must have ${kinds.join(' or ')} type`);
    }
    if (isObject(inner)) checkPath(inner, rest, here);
  }
}

function checkViews(views: Json): void {
  for (const [name, view] of Object.entries(views)) {
    if (name === 'lib' || !isObject(view)) continue;
    if (!Object.hasOwn(view, 'map')) throw invalid(`View \`${name}\` must contain map function`);
    if (typeof view.reduce === 'string' && view.reduce.startsWith('_')) checkReduce(view.reduce);
  }
}

function checkReduce(reduce: string): void {
  if (BUILT_IN_REDUCES.some((name) => reduce.startsWith(name))) return;
  const [, rank] = /^_(?:top|bottom)_(.*)$/s.exec(reduce) ?? [];
  if (rank === undefined) throw invalid(`\`${reduce}\` is not a supported reduce function.`);
  if (!/^[0-9]+$/.test(rank)) throw invalid('invalid rank reducer');
  if (Number(rank) < 1 || Number(rank) > MAX_RANK)
    throw invalid(`rank value must be between 1 and ${MAX_RANK}`);
}

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function is(kind: Kind, value: unknown): boolean {
  if (kind === 'object') return isObject(value);
  if (kind === 'array') return Array.isArray(value);
  return typeof value === kind;
}
