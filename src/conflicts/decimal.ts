import { canonicalNumber } from './canonical.js';

/** A decimal number, exactly: `digits` times ten to the power of `exponent`, without zeros at the end of its digits. */
export interface Decimal {
  readonly digits: bigint;
  readonly exponent: number;
}

const ZERO: Decimal = { digits: 0n, exponent: 0 };

/** Integers may have any number of digits in JSON; what is longer is not reckoned with. */
const MOST_DIGITS = 1000;

/** The value of a JSON number; undefined where it has more digits than anybody reckons with. */
export function parseDecimal(text: string): Decimal | undefined {
  const [digits = '', power = '0'] = canonicalNumber(text).split('e');
  const exponent = Number(power);
  if (digits.length > MOST_DIGITS || Math.abs(exponent) > MOST_DIGITS) return undefined;
  return { digits: BigInt(digits), exponent };
}

function decimal(digits: bigint, exponent: number): Decimal {
  if (digits === 0n) return ZERO;
  const text = String(digits);
  const kept = text.replace(/0+$/, '');
  return { digits: BigInt(kept), exponent: exponent + text.length - kept.length };
}

export function sum(a: Decimal, b: Decimal): Decimal {
  const exponent = Math.min(a.exponent, b.exponent);
  return decimal(scaled(a, exponent) + scaled(b, exponent), exponent);
}

export const difference = (a: Decimal, b: Decimal): Decimal =>
  sum(a, { digits: -b.digits, exponent: b.exponent });

/** Negative, zero or positive, as for `sort`. */
export function compareDecimals(a: Decimal, b: Decimal): number {
  const { digits } = difference(a, b);
  return digits < 0n ? -1 : digits > 0n ? 1 : 0;
}

/**
 * A number as JSON text in the form of `JsonReader`. Numbers that are no integers are doubles there.
 * @returns undefined where no double has exactly this value
 */
export function decimalText(value: Decimal): string | undefined {
  if (value.exponent >= 0) return String(scaled(value, 0));
  const text = String(Number(`${String(value.digits)}e${String(value.exponent)}`));
  const kept = parseDecimal(text);
  return kept?.digits === value.digits && kept.exponent === value.exponent ? text : undefined;
}

const scaled = ({ digits, exponent }: Decimal, to: number): bigint => digits * 10n ** BigInt(exponent - to);
