/** What is read of a selector, and what it is asked about. */

export type Json = Readonly<Record<string, unknown>>;

/** The names on the way to a field; none of them empty. */
export type Path = readonly string[];

/**
 * A selector in CouchDB's normal form: it has no names but those of whole paths, one operator for each of these, and
 * negations only where they cannot be expressed by another operator.
 */
export type Selector =
  /** Every part, or one of them; a junction of none fits everything. */
  | { readonly kind: 'and' | 'or'; readonly parts: readonly Selector[] }
  /** Only within the operators on elements: there the opposite also fits what has no such field. */
  | { readonly kind: 'not'; readonly part: Selector }
  | { readonly kind: 'field'; readonly path: Path; readonly test: Test }
  /** The empty selector. */
  | { readonly kind: 'everything' };

/** What is asked of a field. */
export interface Test {
  readonly operator: Operator;
  readonly argument: unknown;
  /** Whether the opposite is asked for, which still needs the field to be there. */
  readonly negated: boolean;
  /** Of operators on elements: what these must fit. */
  readonly within?: Selector;
  /** Of `$regex`: whether a text has something in it that fits. */
  readonly finds?: (text: string) => boolean;
}

export const COMPARISONS = ['$lt', '$lte', '$eq', '$ne', '$gte', '$gt'] as const;
const MEMBERSHIPS = ['$in', '$nin', '$all'] as const;
export const ELEMENT_OPERATORS = ['$elemMatch', '$allMatch', '$keyMapMatch'] as const;
const SHAPES = ['$exists', '$type', '$size', '$mod', '$regex', '$beginsWith'] as const;
const OPERATORS = [...COMPARISONS, ...MEMBERSHIPS, ...ELEMENT_OPERATORS, ...SHAPES] as const;

export type Comparison = (typeof COMPARISONS)[number];
export type Operator = (typeof OPERATORS)[number];

const KNOWN: ReadonlySet<string> = new Set(OPERATORS);
export const isOperator = (name: string): name is Operator => KNOWN.has(name);

export const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
