import { quote } from '../json/quote.js';
import type { Work } from '../json/turns.js';
import { canonical } from './canonical.js';
import { type Path, pointer } from './functions/fields.js';
import type { ObjectValue, Value, Values } from './value.js';

interface Restored {
  readonly text: string;
  /** JSON pointers of values for which several texts are right that mean different things. */
  readonly unclear: readonly string[];
}

/** An object or an array whose inner values are being restored. */
interface Open {
  readonly value: Exclude<Value, { kind: 'string' | 'number' | 'literal' }>;
  readonly path: Path;
  readonly leaves: readonly Value[];
  /** Name and value of what comes next. */
  readonly inner: Iterator<readonly [string, Value]>;
  readonly parts: string[];
}

/**
 * The text of a value that was made of parsed leaves: what is equal to what a leaf has at the same place gets the text
 * that it has there, first of all in the winner.
 * @param values that say what is equal once it was parsed
 */
export function* restore(values: Values, whole: ObjectValue, leaves: readonly ObjectValue[]): Work<Restored> {
  const unclear: string[] = [];
  // Not by calling itself: values nest deep.
  const open: Open[] = [];
  let text = yield* begin(whole, leaves, []);
  for (let outer = open.at(-1); outer !== undefined; outer = open.at(-1)) {
    yield;
    if (text !== undefined) add(outer, text);
    const next = outer.inner.next();
    if (next.done === true) {
      text = textOf(outer);
      open.pop();
      continue;
    }
    const [name, value] = next.value;
    outer.parts.push(outer.value.kind === 'object' ? `${quote(name)}:` : '');
    text = yield* begin(value, innerOf(outer, name), [...outer.path, name]);
  }
  return { text: text ?? '', unclear };

  /** @returns undefined where the values within have to be looked at one by one */
  function* begin(value: Value, there: readonly Value[], path: Path): Work<string | undefined> {
    const same = there.filter((one) => isSame(values, one, value));
    const [first] = same;
    if (first === undefined) {
      if (value.kind !== 'object' && value.kind !== 'array') return value.text;
      open.push({ value, path, leaves: there, inner: innerValues(value), parts: [] });
      return undefined;
    }
    const others = new Set(same.map((one) => one.text));
    others.delete(first.text);
    if (others.size > 0) {
      const meaning = yield* canonical(first.text);
      for (const other of others) {
        if ((yield* canonical(other)) === meaning) continue;
        unclear.push(pointer(path));
        break;
      }
    }
    return first.text;
  }
}

/** A number that is too large becomes `null`: then the kinds differ. */
const isSame = (values: Values, a: Value, b: Value): boolean =>
  a.text === b.text || values.identityOf(a) === values.identityOf(b);

function add({ parts }: Open, text: string): void {
  const at = parts.length - 1;
  if (at >= 0) parts[at] = `${parts[at] ?? ''}${text}`;
}

const textOf = ({ value, parts }: Open): string =>
  value.kind === 'object' ? `{${parts.join(',')}}` : `[${parts.join(',')}]`;

function* innerValues(value: Open['value']): Generator<readonly [string, Value]> {
  if (value.kind === 'object') yield* value.members;
  else for (const [at, one] of value.elements.entries()) yield [String(at), one];
}

/** What leaves have at the same place. */
function innerOf({ value, leaves }: Open, name: string): Value[] {
  return leaves.flatMap((leaf) => {
    if (leaf.kind !== value.kind) return [];
    return (leaf.kind === 'object' ? leaf.members.get(name) : leaf.elements[Number(name)]) ?? [];
  });
}
