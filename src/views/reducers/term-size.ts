/** Members whose values are not in JSON cannot be. */
type Members = Readonly<Record<string, unknown>>;

/** Bytes of a list that is not empty beside its elements. */
const LIST = 6;
const TUPLE = 2;
const BINARY = 5;

/**
 * Bytes that a JSON value takes in Erlang's external format, without the byte for the version of that: CouchDB compares
 * such sizes where it judges whether a reduction becomes too large.
 */
export function termSize(value: unknown): number {
  switch (typeof value) {
    case 'number':
      return sizeOfNumber(value);
    case 'string':
      return BINARY + Buffer.byteLength(value);
    case 'boolean':
      return value ? 7 : 8;
    default:
      if (value === null) return 7;
      return Array.isArray(value) ? sizeOfList(value) : sizeOfObject(value as Members);
  }
}

function sizeOfNumber(value: number): number {
  if (!Number.isInteger(value)) return 9;
  if (value >= 0 && value < 256) return 2;
  if (value >= -(2 ** 31) && value < 2 ** 31) return 5;
  return 3 + Math.ceil(Math.log2(Math.abs(value) + 1) / 8);
}

/** Lists of bytes are written as strings. */
function sizeOfList(values: readonly unknown[]): number {
  if (values.length === 0) return 1;
  if (values.length < 65_536 && values.every(isByte)) return 3 + values.length;
  return values.reduce<number>((size, value) => size + termSize(value), LIST);
}

const isByte = (value: unknown): boolean =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 256;

function sizeOfObject(members: Members): number {
  const entries = Object.entries(members);
  if (entries.length === 0) return TUPLE + 1;
  return entries.reduce(
    (size, [name, value]) => size + TUPLE + BINARY + Buffer.byteLength(name) + termSize(value),
    TUPLE + LIST,
  );
}
