import assert from 'node:assert/strict';
import { type Entry, parseEntry } from '../../../src/conflicts/entries.js';
import { kindOf } from '../../../src/conflicts/revisions.js';
import { parseState } from '../../../src/conflicts/states.js';
import { Databases } from '../../../src/store/databases.js';
import { IDLE, OPTIONS } from '../../support/store.js';
import type { ClientEdit } from './conflict-clients.js';
import type { Trees } from './trees.js';

/** What a gateway that is stopped has on its disk. */
export interface OnDisk {
  /** Leaves that went away with a merge, by document: the revision and the text that the journal has of it. */
  readonly kept: ReadonlyMap<string, ReadonlyMap<string, string>>;
  /** Entries of the journal as texts, by document. */
  readonly entries: ReadonlyMap<string, readonly string[]>;
  /** What is noted of documents that are in conflict. */
  readonly states: ReadonlyMap<string, string | undefined>;
}

/** @param data the data directory of a gateway that does not run */
export async function readDisk(data: string, database: string): Promise<OnDisk> {
  const databases = await Databases.open(data, OPTIONS, IDLE);
  const kept = new Map<string, Map<string, string>>();
  const entries = new Map<string, string[]>();
  const states = new Map<string, string | undefined>();
  try {
    await databases.use(database, async ({ journal, conflicts }) => {
      for await (const page of journal.list({})) {
        for (const { number, id, text } of page) {
          entries.set(id, [...(entries.get(id) ?? []), textOf(parseEntry(text))]);
          const leaves = kept.get(id) ?? new Map<string, string>();
          for await (const leaf of journal.leaves(number)) leaves.set(leaf.rev, leaf.text);
          kept.set(id, leaves);
        }
      }
      for await (const page of conflicts.rows({ since: 0 }))
        for (const { id, state } of page) states.set(id, state);
    });
  } finally {
    await databases.close();
  }
  return { kept, entries, states };
}

/** All that it says but by which function, which is always the same. */
const textOf = (entry: Entry): string =>
  JSON.stringify(entry, (name, value: unknown) => (name === 'function' ? undefined : value));

/** What clients write, as far as it is judged. */
interface Said {
  readonly said?: readonly string[];
  readonly n?: number;
  readonly lines?: readonly { readonly count: number }[];
}

interface Leaf extends Said {
  readonly rev: string;
  readonly deleted: boolean;
  readonly path: readonly string[];
}

/** How many documents ended how. */
export interface Outcome {
  /** With one leaf, by merges. */
  readonly merged: number;
  /** In conflict, because clients changed the same. */
  readonly clashing: number;
  /** In conflict, because no gateway has all revisions from which clients went on: replication carries leaves alone. */
  readonly baseless: number;
}

export interface Evidence {
  /** The same on all servers. */
  readonly trees: Trees;
  readonly edits: readonly ClientEdit[];
  readonly gateways: readonly OnDisk[];
}

/**
 * Judges how conflicts ended: one leaf for each document that can be merged, and both gateways say why another one cannot;
 * what clients said is there, and counted once; what went away is in a journal.
 * @throws with all that is known of the document that is wrong
 */
export function requireResolved({ trees, edits, gateways }: Evidence): Outcome {
  const outcomes = Object.entries(trees).map(([id, tree]) => {
    const own = edits.filter((edit) => edit.id === id);
    return new Judged(id, tree, own, gateways).judge();
  });
  const count = (which: keyof Outcome): number => outcomes.filter((outcome) => outcome === which).length;
  return { merged: count('merged'), clashing: count('clashing'), baseless: count('baseless') };
}

/** Those that may stay in conflict: clients change the same field, or begin a document twice. */
const MAY_CLASH = /^(titled|mortal|born)/;
/** How merges end that lack a base. */
const BASELESS = 'what it was before is not known';

class Judged {
  readonly #leaves: readonly Leaf[];
  readonly #living: readonly Leaf[];

  constructor(
    private readonly id: string,
    private readonly tree: string,
    private readonly edits: readonly ClientEdit[],
    private readonly gateways: readonly OnDisk[],
  ) {
    this.#leaves = tree.split('\n').slice(1).map(readLeaf);
    this.#living = this.#leaves.filter(({ deleted }) => !deleted);
  }

  /** @returns undefined where there was nothing to be merged */
  judge(): keyof Outcome | undefined {
    // What two clients delete and make anew begins twice to count, and replication does not tell of the deletions.
    if (!this.id.startsWith('mortal')) for (const leaf of this.#living) this.#judgeCounts(leaf);
    this.#judgeSaid();
    this.#judgeTombstones();
    if (this.#living.length > 1) return this.#judgeConflict();
    const isMerged = this.#living.some(({ path }) => path.some((hash) => kindOf(hash) === 'merged'));
    return isMerged ? 'merged' : undefined;
  }

  #judgeConflict(): keyof Outcome {
    const states = this.gateways.map(({ states }) => parseState(states.get(this.id)));
    if (states.some((noted) => noted?.state !== 'deferred'))
      this.#fail('it is in conflict, and not all gateways say why');
    if (MAY_CLASH.test(this.id)) return 'clashing';
    if (states.some((noted) => noted?.reason?.includes(BASELESS) !== true))
      this.#fail('it could have been merged, and was not');
    return 'baseless';
  }

  /** Each increment counts once, in all that counts them. */
  #judgeCounts({ rev, said = [], n = 0, lines = [] }: Leaf): void {
    const sum = said.reduce((total, token) => total + incrementOf(token), 0);
    const ofLines = lines.reduce((total, { count }) => total + count, 0);
    if (new Set(said).size !== said.length) this.#fail(`${rev} says something twice`);
    if (n !== sum) this.#fail(`${rev} counts ${String(n)}, where what it says comes to ${String(sum)}`);
    if (ofLines !== sum)
      this.#fail(`the lines of ${rev} count ${String(ofLines)}, where what it says comes to ${String(sum)}`);
  }

  /** Whatever a client was told is written is there, but for what somebody deleted. */
  #judgeSaid(): void {
    const there = new Set(this.#living.flatMap(({ said = [] }) => said));
    const removed = new Set(this.edits.flatMap(({ removes = [] }) => removes));
    for (const { token, by, rev, isAcknowledged } of this.edits) {
      if (token === undefined || !isAcknowledged || there.has(token) || removed.has(token)) continue;
      const journals = this.gateways.map(({ kept }) =>
        [...(kept.get(this.id) ?? [])].flatMap(([leaf, text]) => (text.includes(`"${token}"`) ? [leaf] : [])),
      );
      this.#fail(
        `${token} is in no leaf, which ${by} wrote as ${String(rev)}; leaves in journals that have it: ${JSON.stringify(journals)}`,
      );
    }
  }

  /** What a tombstone took away is in the journal of the gateway that wrote it. */
  #judgeTombstones(): void {
    for (const { rev, path } of this.#leaves) {
      for (const [at, hash] of path.entries()) {
        const parent = path[at + 1];
        if (kindOf(hash) !== 'tombstone' || parent === undefined) continue;
        const leaf = `${String(Number.parseInt(rev, 10) - at - 1)}-${parent}`;
        const isKept = this.gateways.some(({ kept }) => kept.get(this.id)?.has(leaf));
        if (!isKept) this.#fail(`no journal has ${leaf}, which a gateway deleted`);
      }
    }
  }

  #fail(problem: string): never {
    const gateways = this.gateways.map(({ states, entries }, at) =>
      [
        `gateway ${String(at + 1)}: noted ${String(states.get(this.id))}; journal:`,
        ...(entries.get(this.id) ?? ['nothing']),
      ].join('\n  '),
    );
    const edits = this.edits.map(
      ({ by, token, removes, rev = 'unanswered' }) =>
        `${rev} by ${by}: ${token ?? `without ${String(removes)}`}`,
    );
    assert.fail(
      [`${this.id}: ${problem}`, 'its tree:', this.tree, ...gateways, 'edits:', ...edits].join('\n'),
    );
  }
}

/** @param line of `Trees` */
function readLeaf(line: string): Leaf {
  const [, start = '', ids = '', text = '{}'] = /^(\d+)-([0-9a-f,]+) (.*)$/s.exec(line) ?? [];
  const doc = JSON.parse(text) as Said & { readonly _rev: string; readonly _deleted?: boolean };
  const { said, n, lines, _deleted: deleted = false } = doc;
  const path = ids.split(',');
  return {
    rev: `${start}-${path[0] ?? ''}`,
    deleted,
    path,
    ...(said && { said }),
    ...(n && { n }),
    ...(lines && { lines }),
  };
}

const incrementOf = (token: string): number => Number(token.slice(token.lastIndexOf('+') + 1));
