import { alikeAtBeginnings } from '../json/alike.js';
import { canonicalNumber, NUMBER, scalarEnd, stringEnd } from './canonical.js';

const COLON = 0x3a;

/** What numbers are made of. */
const OF_NUMBER = /[-+.0-9eE]/;

/**
 * Whether two bodies differ for sure, by the first place at which their texts do: in a twentieth of the time that their
 * digests take. Up to there both have the same, so what stands there is the same member or element of the same value; or it
 * is a name, and then members may only have another order.
 */
export function areDifferent(a: string, b: string): boolean {
  const place = alikeAtBeginnings(a, b);
  if (place === a.length && place === b.length) return false;
  // Whether the place is in a string is only known to who comes from the beginning; if it is, it ends here.
  const isInName = a.charCodeAt(stringEnd(a, place - 1)) === COLON;
  const start = isInName ? stringAround(a, place) : undefined;
  if (start === undefined) return !areNumbersAlike(a, b, place);
  return lacksName(b, a, start) || lacksName(a, b, start);
}

/** Where the string begins that a place is in; undefined where it is in none. */
function stringAround(text: string, place: number): number | undefined {
  let start = text.indexOf('"');
  while (start >= 0 && start < place) {
    const end = stringEnd(text, start);
    if (end > place) return start;
    start = text.indexOf('"', end);
  }
  return undefined;
}

/** Whether a text has nowhere the name that begins at a place in another. */
const lacksName = (text: string, other: string, start: number): boolean =>
  !text.includes(other.slice(start, stringEnd(other, start) + 1));

/** Whether numbers stand at a place that are the same but for how they are written. */
function areNumbersAlike(a: string, b: string, place: number): boolean {
  let start = place;
  while (start > 0 && OF_NUMBER.test(a.charAt(start - 1))) start--;
  const [one, other] = [a.slice(start, scalarEnd(a, start)), b.slice(start, scalarEnd(b, start))];
  return (
    one !== other && NUMBER.test(one) && NUMBER.test(other) && canonicalNumber(one) === canonicalNumber(other)
  );
}
