import { evaluate, parse } from './primordials.js';

/** A text that came before in the same place of a call. */
interface Repeated {
  readonly text: string;
  count: number;
  make: (() => unknown) | undefined;
}

/** Documents come in one after the other, with the same request or user: by their places among the parameters. */
const repeated: Repeated[] = [];

/** From here on a text is worth being compiled. */
const OFTEN = 3;
/** And up to so many characters. */
const LONG = 65_536;

/**
 * The value of a JSON text, anew each time, so that what a function does to it is not there the next time. Running a
 * literal takes a third of the time that parsing it takes, which for a request is more than for most documents.
 */
export function valueOf(place: number, text: string): unknown {
  let known = repeated[place];
  if (known?.text !== text) repeated[place] = known = { text, count: 0, make: undefined };
  if (known.make !== undefined) return known.make();
  // A literal means something else by `__proto__`, which can be spelt with escapes.
  if (++known.count === OFTEN && text.length < LONG && !text.includes('__proto__') && !text.includes('\\u'))
    known.make = evaluate(`() => (${text})`) as () => unknown;
  return parse(text);
}
