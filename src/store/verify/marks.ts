import type { ClassicLevel } from 'classic-level';
import * as layout from '../layout.js';

/** Digests of values that belong to no document yet; none where a mark stands for chunks. */
type Marked = readonly string[] | 'damaged';

/** What is marked as being nobody's, in a database that nobody has open. */
export interface Marks {
  /** Name of the mark, for chunks that of their upload → what it stands for. */
  readonly all: ReadonlyMap<string, Marked>;
  /** Digests of all values that are marked. */
  readonly digests: ReadonlySet<string>;
}

/** Reads all marks, as a start does: there are as many as there were uploads under way. */
export async function readMarks(level: ClassicLevel): Promise<Marks> {
  const all = new Map<string, Marked>();
  const digests = new Set<string>();
  const range = { gte: layout.uploads.start, lt: layout.uploads.end };
  for (const [key, text] of await level.iterator(range).all()) {
    const marked = readMark(text);
    all.set(layout.uploads.strip(key), marked);
    if (marked !== 'damaged') for (const digest of marked) digests.add(digest);
  }
  return { all, digests };
}

function readMark(text: string): Marked {
  if (text === '') return [];
  try {
    const digests: unknown = JSON.parse(text);
    return Array.isArray(digests) && digests.every((one) => typeof one === 'string') ? digests : 'damaged';
  } catch {
    return 'damaged';
  }
}
