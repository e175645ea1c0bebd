import { type Answer, type Couch, documentPath } from './couch.js';
import { Random } from './random.js';

/** A leaf as the server has to show it: `rev` and its ancestors, newest first, and the value in its body. */
export interface ExpectedLeaf {
  readonly revs: readonly string[];
  readonly deleted: boolean;
  readonly value: number;
  /** Name of each attachment → the number that its content is made from; none when left out. */
  readonly files?: Readonly<Record<string, number>>;
}

/** Attachments by their names: stored as they are, compressed, and in chunks where the server is started with `ARGS`. */
const TYPES = { plain: 'application/octet-stream', text: 'text/plain', large: 'application/octet-stream' };

/** Makes compactions that nobody asks for, and attachments in chunks, frequent. */
export const ARGS = [
  ...['--store-chunk-above', '50000', '--compaction-min-size', '200000'],
  ...['--compaction-min-ratio', '1.2', '--compaction-staleness', '0'],
];

/** The content of an attachment; it begins with the number that it is made from. */
export function contentOf(name: string, number: number): Buffer {
  const length = name === 'large' ? 60_000 + (number % 7) * 20_000 : 100 + (number % 5) * 2000;
  return Buffer.from(`${String(number)} `.repeat(Math.ceil(length / 2))).subarray(0, length);
}

/** The number that a content was made from. @throws where it is not whole */
export function numberOf(name: string, content: Buffer): number {
  const number = Number.parseInt(content.subarray(0, 20).toString(), 10);
  if (!content.equals(contentOf(name, number)))
    throw new Error(`attachment ${name} of ${String(number)} is broken`);
  return number;
}

/** The leaves that a document may have; none where it was never written. */
export type Expected = readonly ExpectedLeaf[];

/** What is known of a document: what was acknowledged, and what an unanswered write may have made of it. */
export interface Known {
  acknowledged: Expected;
  possible: Expected | undefined;
}

/** What is known of a local document, or of whether a database is there: the same for one value. */
export interface KnownValue<T> {
  acknowledged: T;
  possible: { readonly value: T } | undefined;
}

const revOf = (leaf: ExpectedLeaf): string => leaf.revs[0] ?? '';

/** The winner of some leaves: not deleted before deleted, then the longest, then the highest hash. */
function winnerOf(leaves: Expected): ExpectedLeaf | undefined {
  const order = (leaf: ExpectedLeaf): [boolean, number, string] => {
    const rev = revOf(leaf);
    return [!leaf.deleted, Number.parseInt(rev, 10), rev.slice(rev.indexOf('-'))];
  };
  return leaves.toSorted((a, b) => {
    const [x, y] = [order(a), order(b)];
    for (const [n, part] of x.entries()) if (part !== y[n]) return part > (y[n] ?? 0) ? -1 : 1;
    return 0;
  })[0];
}

/** What a client does next, the commoner the more often it stands here. */
const KINDS = [
  'put',
  'put',
  'put',
  'put',
  'edit',
  'edit',
  'edit',
  'edit',
  'remove',
  'bulk',
  'branch',
  'local',
  'unlocal',
  'attach',
  'attach',
  'attach',
  'attach',
  'purge',
  'purge',
  'compact',
] as const;

/**
 * One client that writes what chance says, one request after the other, to documents that are its own; so it knows
 * what has to be there whenever the server is killed.
 */
export class Client {
  readonly documents = new Map<string, Known>();
  readonly locals = new Map<string, KnownValue<number | undefined>>();
  readonly #random: Random;
  #values = 0;
  /** Requests that were answered with success. */
  answered = 0;

  constructor(
    private readonly couch: Couch,
    private readonly database: string,
    private readonly name: string,
    seed: number,
  ) {
    this.#random = new Random(seed);
  }

  /** Writes until a request is not answered: the server is gone. */
  async run(onAnswer: () => void): Promise<void> {
    for (;;) {
      if (!(await this.#step(this.#random.pick(KINDS)))) return;
      this.answered += 1;
      onAnswer();
    }
  }

  #step(kind: (typeof KINDS)[number]): Promise<boolean> {
    switch (kind) {
      case 'put':
        return this.#put(this.#newId());
      case 'edit':
        return this.#put(this.#anyId());
      case 'remove':
        return this.#remove(this.#anyId());
      case 'bulk':
        return this.#bulk();
      case 'branch':
        return this.#branch();
      case 'attach':
        return this.#attach(this.#anyId());
      case 'purge':
        return this.#purge(this.#anyId());
      case 'compact':
        return this.#compact();
      case 'local':
        return this.#putLocal(`${this.name}-${String(this.#random.below(5))}`);
      case 'unlocal':
        return this.#deleteLocal(`${this.name}-${String(this.#random.below(5))}`);
    }
  }

  #newId(): string {
    return `${this.name}-${String(this.documents.size)}`;
  }

  #anyId(): string {
    const size = this.documents.size;
    return size === 0 ? this.#newId() : `${this.name}-${String(this.#random.below(size))}`;
  }

  #known(id: string): Known {
    let known = this.documents.get(id);
    if (!known) this.documents.set(id, (known = { acknowledged: [], possible: undefined }));
    return known;
  }

  #value(): number {
    return (this.#values += 1);
  }

  /** An interactive edit of the winner; its revision is only known from the answer. */
  async #put(id: string): Promise<boolean> {
    const value = this.#value();
    const winner = winnerOf(this.#known(id).acknowledged);
    const rev = winner && !winner.deleted ? revOf(winner) : undefined;
    // The others lose their attachments.
    const files = rev !== undefined && this.#random.below(2) === 0 ? winner?.files : undefined;
    const leaf = { revs: ['?', ...(winner?.revs ?? [])], deleted: false, value, ...(files && { files }) };
    const stubs = Object.keys(files ?? {}).map((name) => [name, { stub: true }] as const);
    return this.#edit(id, winner, leaf, () =>
      this.couch.request('PUT', documentPath(this.database, id), {
        body: {
          ...this.#body(value),
          ...(rev === undefined ? {} : { _rev: rev }),
          ...(stubs.length === 0 ? {} : { _attachments: Object.fromEntries(stubs) }),
        },
      }),
    );
  }

  /** One more attachment, or another content of one. */
  async #attach(id: string): Promise<boolean> {
    const winner = winnerOf(this.#known(id).acknowledged);
    if (!winner || winner.deleted) return this.#put(id);
    const name = this.#random.pick(['plain', 'text', 'large'] as const);
    const number = this.#value();
    const files = { ...winner.files, [name]: number };
    return this.#edit(id, winner, { ...winner, revs: ['?', ...winner.revs], files }, () =>
      this.couch.request('PUT', `${documentPath(this.database, id)}/${name}?rev=${revOf(winner)}`, {
        text: contentOf(name, number).toString(),
        headers: { 'content-type': TYPES[name] },
      }),
    );
  }

  /** The winner, or all leaves: they are as if they had never been. */
  async #purge(id: string): Promise<boolean> {
    const known = this.#known(id);
    const winner = winnerOf(known.acknowledged);
    if (!winner) return this.#put(id);
    const gone = this.#random.below(2) === 0 ? [winner] : known.acknowledged;
    known.possible = known.acknowledged.filter((leaf) => !gone.includes(leaf));
    const answer = await this.#answer(() =>
      this.couch.request('POST', `/${this.database}/_purge`, { body: { [id]: gone.map(revOf) } }),
    );
    if (!answer) return false;
    known.acknowledged = known.possible;
    known.possible = undefined;
    return true;
  }

  async #compact(): Promise<boolean> {
    const ask = (): Promise<Answer> => this.couch.request('POST', `/${this.database}/_compact`, { body: {} });
    return (await this.#answer(ask)) !== undefined;
  }

  async #remove(id: string): Promise<boolean> {
    const winner = winnerOf(this.#known(id).acknowledged);
    if (!winner || winner.deleted) return this.#put(id);
    const tombstone = { revs: ['?', ...winner.revs], deleted: true, value: 0 };
    return this.#edit(id, winner, tombstone, () =>
      this.couch.request('DELETE', `${documentPath(this.database, id)}?rev=${revOf(winner)}`),
    );
  }

  /** Replaces the winner by a leaf whose revision the server makes. */
  async #edit(
    id: string,
    winner: ExpectedLeaf | undefined,
    leaf: ExpectedLeaf,
    ask: () => Promise<Answer>,
  ): Promise<boolean> {
    const known = this.#known(id);
    const others = known.acknowledged.filter((other) => other !== winner);
    known.possible = [...others, leaf];
    const answer = await this.#answer(ask);
    if (!answer) return false;
    const { rev } = answer.body as { rev: string };
    known.acknowledged = [...others, { ...leaf, revs: [rev, ...leaf.revs.slice(1)] }];
    known.possible = undefined;
    return true;
  }

  /** Several new documents in one request. */
  async #bulk(): Promise<boolean> {
    const first = this.documents.size;
    const entries = Array.from({ length: 2 + this.#random.below(20) }, (_, n) => {
      const id = `${this.name}-${String(first + n)}`;
      const leaf: ExpectedLeaf = { revs: ['?'], deleted: false, value: this.#value() };
      return { id, leaf, known: this.#known(id) };
    });
    for (const { known, leaf } of entries) known.possible = [leaf];
    const docs = entries.map(({ id, leaf }) => ({ _id: id, ...this.#body(leaf.value) }));
    const answer = await this.#answer(() =>
      this.couch.request('POST', `/${this.database}/_bulk_docs`, { body: { docs } }),
    );
    if (!answer) return false;
    for (const [n, { rev }] of (answer.body as { rev: string }[]).entries()) {
      const entry = entries[n];
      if (!entry) continue;
      entry.known.acknowledged = [{ ...entry.leaf, revs: [rev] }];
      entry.known.possible = undefined;
    }
    return true;
  }

  /** A replicated revision beside the others of a document: a conflict, sometimes a deleted one. */
  async #branch(): Promise<boolean> {
    const id = this.#anyId();
    const known = this.#known(id);
    const revs = [`2-${this.#random.hash()}`, `1-${this.#random.hash()}`];
    const leaf: ExpectedLeaf = { revs, deleted: this.#random.below(4) === 0, value: this.#value() };
    known.possible = [...known.acknowledged, leaf];
    const doc = {
      _id: id,
      _rev: revs[0],
      _revisions: { start: 2, ids: revs.map((rev) => rev.slice(2)) },
      ...this.#body(leaf.value),
      ...(leaf.deleted ? { _deleted: true } : {}),
    };
    const answer = await this.#answer(() =>
      this.couch.request('POST', `/${this.database}/_bulk_docs`, { body: { docs: [doc], new_edits: false } }),
    );
    if (!answer) return false;
    known.acknowledged = known.possible;
    known.possible = undefined;
    return true;
  }

  async #putLocal(id: string): Promise<boolean> {
    const value = this.#value();
    return this.#local(id, value, () =>
      this.couch.request('PUT', documentPath(this.database, `_local/${id}`), { body: this.#body(value) }),
    );
  }

  async #deleteLocal(id: string): Promise<boolean> {
    if (this.locals.get(id)?.acknowledged === undefined) return this.#putLocal(id);
    return this.#local(id, undefined, () =>
      this.couch.request('DELETE', documentPath(this.database, `_local/${id}`)),
    );
  }

  async #local(id: string, value: number | undefined, ask: () => Promise<Answer>): Promise<boolean> {
    let known = this.locals.get(id);
    if (!known) this.locals.set(id, (known = { acknowledged: undefined, possible: undefined }));
    known.possible = { value };
    if (!(await this.#answer(ask))) return false;
    known.acknowledged = value;
    known.possible = undefined;
    return true;
  }

  #body(value: number): Record<string, unknown> {
    return { value, by: this.name, text: `${String(value)} `.repeat(this.#random.below(200)) };
  }

  /** The answer of success; undefined where the server is gone. */
  async #answer(ask: () => Promise<Answer>): Promise<Answer | undefined> {
    const answer = await ask().catch((error: unknown) => {
      if (isGone(error)) return undefined;
      throw error;
    });
    if (answer === undefined || answer.status === 503) return undefined;
    if (answer.status < 300) return answer;
    throw new Error(`${this.name}: ${String(answer.status)} ${JSON.stringify(answer.body)}`);
  }
}

/** Whether a request failed because the server went away in the middle of it, or before. */
export function isGone(error: unknown): boolean {
  const codes = ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET', 'UND_ERR_DESTROYED'];
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if (codes.includes((cause as NodeJS.ErrnoException).code ?? '')) return true;
  // The answer was cut off in the middle.
  return error instanceof TypeError && error.message === 'terminated';
}
