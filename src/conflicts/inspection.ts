import { quote } from '../json/quote.js';
import { inTurns } from '../json/turns.js';
import { Queue } from '../store/queue.js';
import type { Database } from '../store/types/database.js';
import type { DocumentRecord } from '../store/types/records.js';
import { basesOf } from './bases.js';
import { tooLarge } from './decide.js';
import { type Difference, type Differences, differences } from './difference.js';
import { explain } from './explain.js';
import { documentJson } from './foreign.js';
import { liveLeaves, readTree, type Revision } from './graph.js';
import { LoadedDocument } from './loaded.js';
import type { Kind } from './revisions.js';
import type { TreeRevision } from './types.js';

/** Characters of bodies that are shown for one document. */
const MOST_CHARACTERS = 8 << 20;
/** Documents with more are looked at one at a time. */
const LARGE = 1 << 18;
/** Revisions of the tree that are shown, the newest. */
const MOST_REVISIONS = 10_000;
/** Differences that are named for one leaf. */
const MOST_DIFFERENCES = 1000;

/** A revision as it is shown: tombstones and what brings leaves back stand among the others. */
interface ShownRevision extends Omit<TreeRevision, 'parent'> {
  readonly kind: Kind;
  /** In the tree; null where older revisions are not known. */
  readonly parent: string | null;
  /** Leaves with the same content, of which this is the one that stayed. */
  readonly equals: readonly string[];
  /** The leaf that it brings back. */
  readonly restores: string | null;
}

interface ShownLeaf {
  readonly rev: string;
  /** `too_large`: not shown here, but as a document at this revision. */
  readonly body: 'available' | 'missing' | 'too_large';
  /** The nearest common ancestor of it and all leaves before it, of the first that of all leaves; null where there is none. */
  readonly base: string | null;
  /** What its differences begin at: its base, or the winner where the body of that is not here. */
  readonly against: string | null;
  readonly differences: Differences | undefined;
}

/** Looks at documents as people do who are to resolve a conflict. */
export class Inspector {
  readonly #large = new Queue();

  /**
   * The tree of a document, its leaves that are not deleted and what they are based on, with the bodies that are here, and
   * what each leaf was made to: members of a JSON object as text.
   * @param signal ends it
   */
  inspect(db: Database, record: DocumentRecord, signal: AbortSignal): Promise<string> {
    const document = new LoadedDocument(db, record);
    const look = (): Promise<string> => {
      signal.throwIfAborted();
      return inspect(db, document);
    };
    return document.bound > LARGE ? this.#large.add(look) : look();
  }
}

async function inspect(db: Database, document: LoadedDocument): Promise<string> {
  const { record } = document;
  const graph = readTree(record.tree);
  explain(graph);
  const live = liveLeaves(graph);
  const hasBases = live.length > 1 && tooLarge(graph, live) === undefined;
  const { all, own } = hasBases ? basesOf(graph, live) : { all: undefined, own: [] };
  const bases = live.map((_, at) => (at === 0 ? all : own[at])?.rev);
  const shown = readable(db, record, new Set([...live.map(({ rev }) => rev), ...defined(bases)]));
  await document.read([...shown]);
  const leaves: ShownLeaf[] = [];
  for (const [at, { rev, available }] of live.entries()) {
    const body = document.content(rev) !== undefined ? 'available' : available ? 'too_large' : 'missing';
    const base = bases[at];
    leaves.push({ rev, body, base: base ?? null, ...(await compared(document, rev, base)) });
  }
  const known = [...new Set(defined(bases))];
  const members = [
    `"base":${JSON.stringify(all?.rev ?? null)}`,
    `"bases":[${known.map((rev) => `{"rev":${quote(rev)},"doc":${textOf(document, rev)}}`).join(',')}]`,
    `"leaves":[${leaves.map((leaf) => leafText(document, leaf)).join(',')}]`,
    `"deleted":${JSON.stringify(graph.leaves.filter(({ deleted }) => deleted).map(({ rev }) => rev))}`,
    `"tree":${JSON.stringify(graph.revisions.slice(-MOST_REVISIONS).map(shownRevision))}`,
    `"tree_omitted":${String(Math.max(0, graph.revisions.length - MOST_REVISIONS))}`,
  ];
  return members.join(',');
}

const defined = (revs: readonly (string | undefined)[]): string[] => revs.filter((rev) => rev !== undefined);

/** As many of these revisions as there is room for, the first ones first. */
function readable(db: Database, record: DocumentRecord, revs: ReadonlySet<string>): string[] {
  let left = MOST_CHARACTERS;
  return [...revs].filter((rev) => {
    const bound = db.bodyBound({ record, rev });
    if (bound > left) return false;
    left -= bound;
    return true;
  });
}

async function compared(
  document: LoadedDocument,
  rev: string,
  base: string | undefined,
): Promise<Pick<ShownLeaf, 'against' | 'differences'>> {
  const to = document.content(rev);
  const [winner] = document.live;
  const against = [base, winner].find(
    (one) => one !== undefined && one !== rev && document.content(one) !== undefined,
  );
  const from = against === undefined ? undefined : document.content(against);
  if (to === undefined || from === undefined) return { against: null, differences: undefined };
  return {
    against: against ?? null,
    differences: await inTurns(differences(from, to, MOST_DIFFERENCES)),
  };
}

function textOf(document: LoadedDocument, rev: string): string {
  const content = document.content(rev);
  return content === undefined ? 'null' : documentJson(document.record.id, { rev, content });
}

function leafText(document: LoadedDocument, { differences: found, ...leaf }: ShownLeaf): string {
  const head = JSON.stringify(leaf).slice(0, -1);
  const texts = found === undefined ? 'null' : `[${found.differences.map(differenceText).join(',')}]`;
  const cut = String(found?.isCut ?? false);
  return `${head},"differences":${texts},"differences_cut":${cut},"doc":${textOf(document, leaf.rev)}}`;
}

function differenceText({ kind, path, from, to }: Difference): string {
  const before = from === undefined ? '' : `,"from":${from}`;
  const after = to === undefined ? '' : `,"to":${to}`;
  return `{"kind":"${kind}","path":${quote(path)}${before}${after}}`;
}

function shownRevision(revision: Revision): ShownRevision {
  const { rev, kind, available, deleted, children, parent, made, equals } = revision;
  const isBack = kind === 'undone';
  const state = available ? 'available' : 'missing';
  return {
    rev,
    state: children.length > 0 ? state : deleted ? 'deleted' : 'leaf',
    kind,
    parent: parent?.rev ?? null,
    absorbed: isBack ? [] : made.filter((one) => one !== parent).map((one) => one.rev),
    equals: equals.map((one) => one.rev),
    restores: (isBack ? made[0]?.rev : undefined) ?? null,
  };
}
