import { type Finding, type FindingCode, kindOf } from '../store/verify/findings.js';
import type { Recount } from '../store/verify/recount.js';
import { count, number, size } from './amounts.js';

/** How many there were. */
export interface Totals {
  problems: number;
  notes: number;
}

/** What verifying says, for people or for programs. */
export interface VerifyOutput {
  /** Begins with the data directory (no name), or a database. */
  begin(database?: string): void;
  finding(finding: Finding): void;
  /** Ends what was begun. */
  end(counted?: Recount): void;
  /** Says what was done: repaired, copied. */
  done(what: Done, detail: string): void;
  summary(databases: number, totals: Totals): void;
}

type Done = 'repaired' | 'not repaired' | 'copied' | 'not copied';

type Print = (line: string) => void;

/** So many findings of a kind are shown of one database. */
const SHOWN = 20;

/** Lines for a person. */
export class TextOutput implements VerifyOutput {
  readonly #counts = new Map<FindingCode, number>();
  #name: string | undefined;

  constructor(private readonly print: Print) {}

  begin(database?: string): void {
    this.#name = database;
    this.#counts.clear();
  }

  finding({ code, problem, document }: Finding): void {
    if (this.#counts.size === 0) this.print(this.#name ?? 'The data directory');
    const count = (this.#counts.get(code) ?? 0) + 1;
    this.#counts.set(code, count);
    if (count > SHOWN) return;
    const about = document === undefined ? '' : ` document ${JSON.stringify(document)}:`;
    this.print(`  ${kindOf(code).level} ${code}:${about} ${problem}`);
  }

  end(counted?: Recount): void {
    for (const [code, count] of this.#counts) {
      if (count > SHOWN) this.print(`  … and ${number(count - SHOWN)} more of ${code}`);
    }
    for (const code of this.#counts.keys()) this.print(`  to mend ${code}: ${kindOf(code).mend}`);
    if (counted === undefined) return;
    const { docCount, deletedCount, bodies, bodyBytes, attachments, attachmentBytes } = counted;
    const all = [
      `${count(docCount, 'document')}, ${number(deletedCount)} deleted`,
      `${count(bodies, 'body', 'bodies')}, ${size(bodyBytes)}`,
      `${count(attachments, 'attachment')}, ${size(attachmentBytes)}`,
    ].join('; ');
    this.print(this.#counts.size === 0 ? `${this.#name ?? ''}: clean; ${all}` : `  ${all}`);
  }

  done(what: Done, detail: string): void {
    this.print(`  ${what}: ${detail}`);
  }

  summary(databases: number, { problems, notes }: Totals): void {
    this.print(`${count(databases, 'database')}: ${count(problems, 'problem')}, ${count(notes, 'note')}`);
  }
}

/** One JSON object a line. */
export class JsonOutput implements VerifyOutput {
  #name: string | undefined;

  constructor(private readonly print: Print) {}

  begin(database?: string): void {
    this.#name = database;
  }

  finding(finding: Finding): void {
    const { level, mend } = kindOf(finding.code);
    this.#put({ type: 'finding', database: this.#name, level, ...finding, mend });
  }

  end(counted?: Recount): void {
    if (counted === undefined) return;
    const { docCount, deletedCount, bodies, bodyBytes, attachments, attachmentBytes, updateSeq } = counted;
    const counts = { docCount, deletedCount, bodies, bodyBytes, attachments, attachmentBytes, updateSeq };
    this.#put({ type: 'database', database: this.#name, ...counts });
  }

  done(what: Done, detail: string): void {
    this.#put({ type: what, database: this.#name, detail });
  }

  summary(databases: number, totals: Totals): void {
    this.#put({ type: 'summary', databases, ...totals });
  }

  #put(value: object): void {
    this.print(JSON.stringify(value));
  }
}
