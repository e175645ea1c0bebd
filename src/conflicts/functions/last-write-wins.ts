import type { ObjectValue, Value } from '../value.js';
import { Values } from '../value.js';
import { readMembers } from '../value-reader.js';
import { type Path, pathOf, pointer } from './fields.js';
import { compareMoments, type Moment, momentOf } from './moments.js';
import type { BuiltInOptions } from './options.js';
import type { Merging } from './three-way.js';

/** See last-write-wins.md. */
export function lastWriteWins({ field }: BuiltInOptions<'last-write-wins'>): Merging {
  const path = pathOf(field);
  return function* ({ leaves }) {
    const values = new Values();
    let last: { readonly rev: string; readonly at: Moment } | undefined;
    for (const { rev, content } of leaves) {
      const value = valueAt(yield* readMembers(values, content.body), path);
      if (value === undefined || value.text === 'null') continue;
      const at = momentOf(value);
      const order = at && (last === undefined ? 1 : compareMoments(at, last.at));
      if (at === undefined || order === undefined) return incomparable(path);
      if (order > 0) last = { rev, at };
    }
    const rev = last?.rev ?? leaves[0]?.rev;
    return rev === undefined ? { kind: 'defer', reason: 'no leaves' } : { kind: 'pick', rev };
  };
}

function incomparable(path: Path): { kind: 'defer'; reason: string; paths: readonly string[] } {
  return {
    kind: 'defer',
    reason: 'leaves have neither numbers nor times there, or both',
    paths: [pointer(path)],
  };
}

function valueAt(document: ObjectValue, path: Path): Value | undefined {
  let value: Value | undefined = document;
  for (const name of path) {
    if (value?.kind === 'object') value = value.members.get(name);
    else
      value =
        value?.kind === 'array' && /^(?:0|[1-9][0-9]*)$/.test(name)
          ? value.elements[Number(name)]
          : undefined;
  }
  return value;
}
