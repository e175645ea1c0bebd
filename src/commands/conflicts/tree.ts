/** A revision as the server shows it. */
export interface ShownRevision {
  readonly rev: string;
  readonly state: 'leaf' | 'deleted' | 'available' | 'missing';
  readonly kind: 'edit' | 'merged' | 'tombstone' | 'undone';
  readonly parent: string | null;
  readonly absorbed: readonly string[];
  readonly equals: readonly string[];
  readonly restores: string | null;
}

export interface DrawnTree {
  readonly winner: string;
  /** The common ancestor of the leaves. */
  readonly base: string | null;
  /** Oldest generation first. */
  readonly tree: readonly ShownRevision[];
}

interface Node {
  readonly shown: ShownRevision;
  readonly children: Node[];
}

/** Where a branch begins: what stands before its first line, and before those below. */
interface Branch {
  readonly node: Node;
  readonly first: string;
  readonly below: string;
}

/** So many revisions in a row about which there is nothing to be said are drawn; of more only the first and the last. */
const MOST_PLAIN = 3;

export const LEGEND =
  '● leaf   ✕ deleted leaf   ◆ merged   ○ older, with its body   · older, without its body';

/** The lines of a drawing in which each revision stands below its parent, and branches beside each other. */
export function drawTree(drawn: DrawnTree): string[] {
  const lines: string[] = [];
  const open: Branch[] = [];
  push(open, rootsOf(drawn), (node) => ({ node, first: '', below: '' }));
  // Not by calling itself: branches may branch again and again.
  for (let branch = open.pop(); branch !== undefined; branch = open.pop()) {
    const { first, below } = branch;
    const line = lineOf(branch.node);
    for (const [at, text] of lineTexts(line, drawn).entries()) lines.push((at === 0 ? first : below) + text);
    const children = line.at(-1)?.children ?? [];
    push(open, children, (node, isLast) => ({
      node,
      first: `${below}${isLast ? '└─' : '├─'}`,
      below: `${below}${isLast ? '  ' : '│ '}`,
    }));
  }
  return lines;
}

/** The first one comes to be drawn first. */
function push(
  open: Branch[],
  nodes: readonly Node[],
  branchOf: (node: Node, isLast: boolean) => Branch,
): void {
  for (let at = nodes.length - 1; at >= 0; at--) {
    const node = nodes[at];
    if (node !== undefined) open.push(branchOf(node, at === nodes.length - 1));
  }
}

/** Revisions without a parent, with the others below them: first the branch of the winner. */
function rootsOf({ tree, winner }: DrawnTree): readonly Node[] {
  const nodes = new Map(tree.map((shown): [string, Node] => [shown.rev, { shown, children: [] }]));
  const onTrunk = new Set<string>();
  for (let node = nodes.get(winner); node !== undefined; node = nodes.get(node.shown.parent ?? ''))
    onTrunk.add(node.shown.rev);
  const roots: Node[] = [];
  for (const node of nodes.values()) {
    const { parent, rev } = node.shown;
    const siblings = (parent === null ? undefined : nodes.get(parent)?.children) ?? roots;
    if (onTrunk.has(rev)) siblings.unshift(node);
    else siblings.push(node);
  }
  return roots;
}

/** A revision and its only children, down to where the line ends or branches. */
function lineOf(first: Node): readonly Node[] {
  const line = [first];
  for (let [only, ...others] = first.children; only !== undefined && others.length === 0;) {
    line.push(only);
    [only, ...others] = only.children;
  }
  return line;
}

function lineTexts(line: readonly Node[], drawn: DrawnTree): string[] {
  const texts: string[] = [];
  for (let at = 0; at < line.length;) {
    let end = at;
    while (end < line.length && isPlain(line[end], drawn)) end++;
    if (end - at > MOST_PLAIN) {
      texts.push(textOf(line[at], drawn), `⋮ ${String(end - at - 2)} revisions`);
      at = end - 1;
    }
    texts.push(textOf(line[at], drawn));
    at++;
  }
  return texts;
}

const isPlain = (node: Node | undefined, drawn: DrawnTree): boolean =>
  node?.children.length === 1 && notesOf(node.shown, drawn).length === 0;

function textOf(node: Node | undefined, drawn: DrawnTree): string {
  if (node === undefined) return '';
  const { shown } = node;
  const notes = notesOf(shown, drawn);
  return `${markOf(shown)} ${shown.rev}${notes.length === 0 ? '' : `  ${notes.join(', ')}`}`;
}

function markOf({ state, kind }: ShownRevision): string {
  if (state === 'deleted') return '✕';
  if (kind === 'merged') return '◆';
  return { leaf: '●', available: '○', missing: '·' }[state];
}

function notesOf(shown: ShownRevision, { winner, base }: DrawnTree): string[] {
  const { rev, state, kind, absorbed, equals, restores } = shown;
  const notes: string[] = [];
  if (rev === winner) notes.push('winner');
  else if (state === 'leaf') notes.push('leaf');
  else if (state === 'deleted') notes.push('deleted');
  if (kind === 'tombstone') notes.push('it went into another');
  if (rev === base) notes.push('base');
  if (kind === 'merged') notes.push(`merged${absorbed.length === 0 ? '' : ` with ${inShort(absorbed)}`}`);
  if (equals.length > 0) notes.push(`the same as ${inShort(equals)}`);
  if (kind === 'undone') notes.push(`brings back ${restores === null ? 'a leaf' : inShort([restores])}`);
  return notes;
}

/** Digits of a hash by which a person finds a revision in the drawing. */
const DIGITS = 8;

const inShort = (revs: readonly string[]): string =>
  revs.map((rev) => rev.slice(0, rev.indexOf('-') + 1 + DIGITS)).join(', ');
