import { hash } from 'node:crypto';
import type PouchDB from 'pouchdb-node';
import type { Doc, Row } from 'pouchdb-node';

/** Id → everything that replication has to carry: the winner, and each leaf with its ancestors and its body. */
export type Trees = Record<string, string>;

type OpenRevs = readonly ({ ok: Doc } | { missing: string })[];

/** Where trees can be read from. */
export interface TreeSource {
  /** Rows of the whole changes feed, with the winner alone. */
  rows(): Promise<readonly Row[]>;
  /** All leaves of a document with their ancestors. */
  openRevs(id: string): Promise<OpenRevs>;
}

const AT_ONCE = 24;

function pouchSource(db: PouchDB): TreeSource {
  return {
    rows: async () => (await db.changes({ since: 0, return_docs: true, batch_size: 1000 })).results,
    openRevs: async (id) => await db.get(id, { open_revs: 'all', revs: true }),
  };
}

export const pouchTrees = (db: PouchDB): Promise<Trees> => treesOf(pouchSource(db));

/** Every leaf of every document: cheaply read, and enough to see whether two replicas can be equal yet. */
export function leavesOf(
  rows: readonly { readonly id: string; readonly changes: readonly { readonly rev: string }[] }[],
): string {
  const lines = rows.map(({ id, changes }) => [id, ...changes.map(({ rev }) => rev).sort()].join(' '));
  return lines.sort().join('\n');
}

export async function pouchLeaves(db: PouchDB): Promise<string> {
  const options = { since: 0, style: 'all_docs', return_docs: true, batch_size: 1000 } as const;
  return leavesOf((await db.changes(options)).results);
}

/** The trees of every document there is, deleted ones included. */
export async function treesOf(source: TreeSource): Promise<Trees> {
  const queue = (await source.rows()).values();
  const trees = new Map<string, string>();
  const worker = async (): Promise<void> => {
    for (const row of queue) trees.set(row.id, describe(row, await source.openRevs(row.id)));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return Object.fromEntries([...trees].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function describe(row: Row, leaves: OpenRevs): string {
  const winner = `${row.changes[0]?.rev ?? 'none'}${row.deleted === true ? ' deleted' : ''}`;
  return [`winner ${winner}`, ...leaves.map(describeLeaf).sort()].join('\n');
}

function describeLeaf(leaf: OpenRevs[number]): string {
  if (!('ok' in leaf)) return `missing ${leaf.missing}`;
  const { _revisions, ...doc } = leaf.ok;
  const { start = 0, ids = [] } = _revisions ?? {};
  return `${String(start)}-${ids.join(',')} ${canonical(doc).replaceAll(DATA, summaryOf)}`;
}

/** Bytes of an attachment, whose digest may be that of a compressed form. */
const DATA = /"data":"([A-Za-z0-9+/=]{64,})"/g;

const summaryOf = (_: string, base64: string): string =>
  `"data":"${String(base64.length)} characters ${hash('md5', base64)}"`;

/** JSON with the members of objects in order of their names. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

/** Says how two replicas differ, in a few lines; undefined where they do not. */
export function difference(a: Trees, b: Trees): string | undefined {
  const ids = new Set([...Object.keys(a), ...Object.keys(b)]);
  const differing = [...ids].filter((id) => a[id] !== b[id]);
  if (differing.length === 0) return undefined;
  const shown = differing.slice(0, 3).map((id) => {
    const [one, other] = [a[id]?.split('\n') ?? ['none'], b[id]?.split('\n') ?? ['none']];
    return `${JSON.stringify(id)}:\n${lacking(one, other)}\nversus\n${lacking(other, one)}`;
  });
  return `${String(differing.length)} of ${String(ids.size)} documents differ\n${shown.join('\n')}`;
}

/** Lines of one tree that the other has not, from a little before where each of its lines is another. */
function lacking(lines: readonly string[], others: readonly string[]): string {
  const only = lines.filter((line) => !others.includes(line));
  return only
    .map((line) => {
      const alike = Math.max(...others.map((other) => alikeAtBeginning(line, other)));
      return `${line.slice(0, 50)} … ${line.slice(Math.max(50, alike - 150), alike + 300)}`;
    })
    .join('\n');
}

function alikeAtBeginning(a: string, b: string): number {
  let count = 0;
  while (count < a.length && a[count] === b[count]) count += 1;
  return count;
}
