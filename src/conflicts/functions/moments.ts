import { compareDecimals, type Decimal, parseDecimal, sum } from '../decimal.js';
import { type Value, stringOf } from '../value.js';

/** What comes before and after others: a number, or a time. */
export interface Moment {
  readonly kind: 'number' | 'time';
  /** Of times: seconds since 1970. */
  readonly value: Decimal;
}

const TIME =
  /^([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,30}))?)?(?:[Zz]|([+-])([0-9]{2}):?([0-9]{2})?)?)?$/;

/** A number, or a text with a time of ISO 8601 (without a zone it is one of UTC); undefined for anything else. */
export function momentOf(value: Value): Moment | undefined {
  if (value.kind === 'number') {
    const number = parseDecimal(value.text);
    return number && { kind: 'number', value: number };
  }
  const time = value.kind === 'string' && value.text.length < 100 ? timeOf(stringOf(value)) : undefined;
  return time && { kind: 'time', value: time };
}

/** Negative, zero or positive as for `sort`; undefined where one is a number and the other a time. */
export const compareMoments = (a: Moment, b: Moment): number | undefined =>
  a.kind === b.kind ? compareDecimals(a.value, b.value) : undefined;

function timeOf(text: string): Decimal | undefined {
  const parts = TIME.exec(text);
  if (parts === null) return undefined;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts
    .slice(1, 7)
    .map((part: string | undefined) => Number(part ?? 0));
  const date = new Date(0);
  // `Date.UTC` takes years below 100 for others.
  date.setUTCFullYear(year, month - 1, day);
  const isThere = date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
  if (!isThere || hour > 23 || minute > 59 || second > 60) return undefined;
  const offset = (parts[8] === '-' ? -1 : 1) * (Number(parts[9] ?? 0) * 60 + Number(parts[10] ?? 0));
  const seconds = date.getTime() / 1000 + hour * 3600 + (minute - offset) * 60 + second;
  const whole = parseDecimal(String(seconds));
  const fraction = parseDecimal(`0.${parts[7] ?? '0'}`);
  return whole && fraction && sum(whole, fraction);
}
