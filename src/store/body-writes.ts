import type { ClassicLevel } from 'classic-level';
import { type BodyFacts, factsOf, plainFacts } from './body-facts.js';
import { LARGE, type LargeBodies, largeBodyKey } from './large-bodies.js';
import * as layout from './layout.js';

/** Puts and deletes of the commit that is being put together. */
interface Batch {
  put(key: string, value: string): void;
  del(key: string): void;
}

/** A body that the commit puts. */
interface Written {
  readonly text: string;
  readonly facts: BodyFacts;
}

/** The bodies of one commit. */
export class BodyWrites {
  /** Sequence → what is put there. */
  readonly #written = new Map<number, Written>();
  /** Sequence → length, for the large ones that are put. */
  readonly #large = new Map<number, number>();
  /** About others, as far as somebody read them. */
  #known: ReadonlyMap<number, BodyFacts> = new Map();
  #bytes = 0;
  #dropped = 0;

  constructor(
    private readonly level: ClassicLevel,
    private readonly largeBodies: LargeBodies,
    private readonly batch: Batch,
  ) {}

  /** Bytes that came less those that went. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes that went. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Sequence → length of each large body that is put. */
  get large(): ReadonlyMap<number, number> {
    return this.#large;
  }

  /** The body at a sequence as the writes so far leave it. */
  at(seq: number): string | undefined {
    return this.#written.get(seq)?.text ?? this.level.getSync(layout.bodies.key(layout.seqKey(seq)));
  }

  /** The facts of a body that is put, or known; undefined for one that would have to be read. */
  factsAt(seq: number): BodyFacts | undefined {
    return this.#written.get(seq)?.facts ?? this.#known.get(seq);
  }

  /** @param facts about bodies on the disk, by their sequences: what stands at one never changes */
  know(facts: ReadonlyMap<number, BodyFacts>): void {
    this.#known = facts;
  }

  /** @param hasAttachments whether the text names any */
  put(seq: number, text: string, hasAttachments: boolean): void {
    this.#put(seq, text, hasAttachments ? factsOf(text) : plainFacts(text));
  }

  #put(seq: number, text: string, facts: BodyFacts): void {
    this.#bytes += facts.length;
    this.#written.set(seq, { text, facts });
    this.batch.put(layout.bodies.key(layout.seqKey(seq)), text);
    if (text.length <= LARGE) return;
    this.#large.set(seq, text.length);
    this.batch.put(largeBodyKey(seq), String(text.length));
  }

  /** A revision gets another sequence. */
  move(from: number, to: number): void {
    const text = this.at(from);
    if (text === undefined) throw new Error(`there is no body at sequence ${String(from)}`);
    const facts = this.factsAt(from) ?? factsOf(text);
    this.#forget(from, facts.length);
    this.#put(to, text, facts);
  }

  /** @param facts are read where they are left out. @returns them */
  drop(seq: number, facts = this.factsAt(seq) ?? factsOf(this.at(seq))): BodyFacts {
    this.#forget(seq, facts.length);
    return facts;
  }

  #forget(seq: number, length: number): void {
    this.#bytes -= length;
    this.#dropped += length;
    this.#written.delete(seq);
    this.batch.del(layout.bodies.key(layout.seqKey(seq)));
    if (this.#large.has(seq) || this.largeBodies.has(seq)) this.batch.del(largeBodyKey(seq));
  }
}
