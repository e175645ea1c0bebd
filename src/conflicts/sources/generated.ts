import { hash } from 'node:crypto';
import { insert } from '../../revtree/insert.js';
import { type RevTree } from '../../revtree/tree.js';
import { decide } from '../decide.js';
import type { AttachmentSummary, ConflictText, Content } from '../types.js';

/** A revision of a document that nobody has, with what it says. */
interface Planned {
  /** Names of revisions from the oldest one down to it. */
  readonly path: readonly string[];
  readonly members: string;
  readonly files?: readonly string[];
  readonly deleted?: boolean;
  /** It is in the tree, and what it says is not known. */
  readonly isMissing?: boolean;
}

/** What a document said before it was edited. */
const BEFORE = [
  '"type":"cart","n":0,"tags":["a","b"],"at":"2026-01-01T00:00:00Z","owner":{"name":"ann","age":40}',
  '"lines":[{"id":1,"price":1.5},{"id":2,"price":2}],"text":"one\\ntwo\\nthree","open":true,"note":null',
  '"n":10',
];

/** What three people made of it. */
const EDITS: readonly (readonly string[])[] = [
  [
    '"type":"cart","n":1,"tags":["a","b","c"],"at":"2026-01-02T00:00:00Z","owner":{"name":"ann","age":41}',
    '"owner":{"age":40,"name":"bob","town":"Ulm"},"n":2.5,"tags":[],"type":"cart","at":"2026-01-03T00:00:00Z"',
    '"type":"order","n":-3,"at":null,"sum":12345678901234567890',
  ],
  [
    '"lines":[{"id":2,"price":3},{"id":1,"price":1.5}],"text":"one\\n2\\nthree","open":false,"note":null',
    '"text":"one\\ntwo\\nthree\\nfour","lines":[{"id":1,"price":1.5}],"open":true',
    '"lines":{"a":{"b":{"c":[[]]}}},"text":7,"open":"yes","note":{"":"ü\u{1f600}"}',
  ],
  ['', '"n":"11"', '"o":{"__proto__":{"n":1}},"constructor":1,"n":12,"b":1.0,"a":[null]'],
];

const ORDERS = [
  [0, 1, 2],
  [0, 2, 1],
  [1, 0, 2],
  [1, 2, 0],
  [2, 0, 1],
  [2, 1, 0],
] as const;

/** What may become of a document, with what it said before and what three people made of it. */
const HISTORIES: readonly ((before: string, edits: readonly string[]) => readonly Planned[])[] = [
  // Two edit it, …
  (before, [a = '', b = '']) => [
    { path: ['o'], members: before, files: ['x'] },
    { path: ['o', 'a'], members: a, files: ['x', 'y'] },
    { path: ['o', 'b'], members: b },
  ],
  // … three do, …
  (before, edits) => [
    { path: ['o'], members: before, files: ['x', 'y'] },
    ...edits.map((members, at) => ({ path: ['o', `e${at}`], members, files: ['x', `f${at}`] })),
  ],
  // … two of them and one knows what the third had done, …
  (before, [a = '', b = '', c = '']) => [
    { path: ['o'], members: before },
    { path: ['o', 'p'], members: c },
    { path: ['o', 'p', 'a'], members: a },
    { path: ['o', 'p', 'b'], members: b },
    { path: ['o', 'c'], members: before === '' ? '"n":1' : '' },
    { path: ['o', 'd', 'e', 'f'], members: '', deleted: true },
  ],
  // … nobody knows what it was before, …
  (before, edits) => [
    { path: ['o'], members: before, isMissing: true },
    ...edits.map((members, at) => ({ path: ['o', `m${at}`, `e${at}`], members, files: [`f${at}`] })),
  ],
  // … and it was made three times.
  (_before, edits) => [
    ...edits.map((members, at) => ({ path: [`r${at}`], members })),
    { path: ['g', 'h'], members: '', deleted: true },
  ],
];

/**
 * Conflicts of two and three leaves as they come to be, always the same ones: with a base, with one of its own for a leaf, with
 * one whose body is gone and with none; with deleted leaves beside them; with attachments. Each is there in all orders of
 * who made what: the winner says something else each time.
 */
export function* generatedConflicts(): Generator<ConflictText> {
  let count = 0;
  for (const [at, before] of BEFORE.entries()) {
    for (const history of HISTORIES) {
      for (const order of ORDERS) {
        const edits = order.map((place) => EDITS[at]?.[place] ?? '');
        const conflict = conflictOf(`test-${String(++count)}`, history(before, edits));
        if (conflict !== undefined) yield conflict;
      }
    }
  }
}

/** Longer than any of them. */
const LIMIT = 1000;

function conflictOf(id: string, planned: readonly Planned[]): ConflictText | undefined {
  const contents = new Map<string, Content>();
  let tree: RevTree = [];
  for (const { path, members, files = [], deleted = false, isMissing = false } of planned) {
    const hashes = path.map((_, at) => hash('md5', `${id} ${path.slice(0, at + 1).join(' ')}`)).reverse();
    ({ tree } = insert(tree, path.length, hashes, deleted, LIMIT));
    if (!isMissing) contents.set(revOf(path.length, hashes), { body: members, attachments: filesOf(files) });
  }
  const decision = decide({ id, tree, content: (rev) => contents.get(rev) }, { equalIsSame: false });
  return decision.kind === 'merge' ? decision.conflict : undefined;
}

const revOf = (generation: number, [newest = '']: readonly string[]): string =>
  `${String(generation)}-${newest}`;

/** Some have the same name and other bytes: what they are called ends with a digit then. */
function filesOf(names: readonly string[]): ReadonlyMap<string, AttachmentSummary> {
  return new Map(
    names.map((name) => {
      const digest = `md5-${hash('md5', name, 'base64')}`;
      return [name.slice(0, 1), { contentType: 'text/plain', digest, length: name.length }];
    }),
  );
}
