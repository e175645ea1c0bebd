import { notFound, unknownLanguage } from '../errors.js';
import type { Database } from '../store/types/database.js';
import type { DocumentRecord } from '../store/types/records.js';
import type { Machine } from './job.js';

/** Characters of design documents that are remembered, and how many of them. */
const MAX_SIZE = 16 * 1024 * 1024;
const MAX_COUNT = 1000;

interface Known extends Machine {
  readonly instance: string;
  readonly seq: number;
}

/** Which machine is whose: a database that is made anew, and a design document that changes, get another one. */
export class Machines {
  /** By database and design document, the least recently used first. */
  readonly #known = new Map<string, Known>();
  #size = 0;
  #count = 0;

  /** @param drop is told the numbers that nobody uses any more */
  constructor(private readonly drop: (machine: number) => void) {}

  /**
   * The machine of a design document as its winner has it now.
   * @throws CouchError 404 where that is not kept, 500 where its functions are of another language
   */
  get(db: Database, record: DocumentRecord): Machine {
    const { id, seq } = record;
    const key = `${db.name}\n${id}`;
    const known = this.#known.get(key);
    this.#known.delete(key);
    // Each change of the document has a sequence of its own, even one that writes a purged revision again.
    if (known?.seq === seq && known.instance === db.instanceStartTime) {
      this.#known.set(key, known);
      return known;
    }
    if (known !== undefined) this.#forget(known);
    const design = readDesign(db, record);
    const machine: Known = {
      number: ++this.#count,
      design,
      database: db.name,
      id,
      slowUntil: 0,
      instance: db.instanceStartTime,
      seq,
    };
    this.#known.set(key, machine);
    this.#size += design.length;
    this.#makeRoom();
    return machine;
  }

  /** A machine for a text that no document has yet. Whoever asks for it drops it. */
  passing({ name }: Database, id: string, design: string): Machine {
    return { number: ++this.#count, design, database: name, id, slowUntil: 0 };
  }

  #makeRoom(): void {
    for (const [key, oldest] of this.#known) {
      if (this.#known.size <= 1 || (this.#size <= MAX_SIZE && this.#known.size <= MAX_COUNT)) break;
      this.#known.delete(key);
      this.#forget(oldest);
    }
  }

  clear(): void {
    for (const machine of this.#known.values()) this.#forget(machine);
    this.#known.clear();
  }

  #forget({ number, design }: Known): void {
    this.#size -= design.length;
    this.drop(number);
  }
}

/** @throws CouchError 404 where it is not kept, 500 where its functions are of another language */
export function readDesign(db: Database, record: DocumentRecord): string {
  const design = db.read(record, record.winner);
  if (design === undefined) throw notFound('missing');
  requireSpoken(design);
  return design;
}

/** Whatever the case of its name; Mango's design documents may have functions beside their indexes. */
const SPOKEN: ReadonlySet<string> = new Set(['javascript', 'query']);

function requireSpoken(design: string): void {
  const { language } = JSON.parse(design) as { readonly language?: unknown };
  if (typeof language === 'string' && !SPOKEN.has(language.toLowerCase())) throw unknownLanguage(language);
}
