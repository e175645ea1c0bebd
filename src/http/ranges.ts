/** Bytes `first` to `last`, both inclusive. */
export interface Range {
  readonly first: number;
  readonly last: number;
}

/** More ranges than these are not worth cutting: the whole is sent. */
const MOST = 9;

/**
 * The parts of `length` bytes that a Range header asks for.
 * @returns undefined where the whole is to be sent, an empty list where one cannot be had
 */
export function parseRanges(header: string | undefined, length: number): readonly Range[] | undefined {
  if (header?.startsWith('bytes=') !== true) return undefined;
  const wanted = header
    .slice('bytes='.length)
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  if (wanted.length === 0 || wanted.length > MOST) return undefined;
  const ranges: Range[] = [];
  for (const part of wanted) {
    const match = /^(\d*)-(\d*)$/.exec(part);
    const [, from = '', to = ''] = match ?? [];
    if (match === null || (from === '' && to === '')) return undefined;
    // CouchDB takes this for no range at all.
    if (to === '' && Number(from) === 0) return undefined;
    ranges.push(rangeOf(from, to, length));
  }
  return ranges.every(({ first, last }) => first <= last && first < length) ? ranges : [];
}

function rangeOf(from: string, to: string, length: number): Range {
  if (from === '') return { first: Math.max(0, length - Number(to)), last: length - 1 };
  const last = to === '' ? length - 1 : Math.min(Number(to), length - 1);
  // One that runs backwards stays so.
  return { first: Number(from), last: to !== '' && Number(to) < Number(from) ? -1 : last };
}
