import type { Refusal } from '../../replication/replication.js';
import { count, duration, size } from '../amounts.js';

/** What a run came to. */
export interface Summary {
  /** Revisions that were written in this run, and their bytes. */
  readonly documents: number;
  readonly bytes: number;
  readonly refused: number;
  /** Those that earlier runs reported, where the checkpoints tell of them. */
  readonly refusedBefore: number;
  readonly failed: number;
  readonly seconds: number;
}

/** What became of a revision that is not at the target. */
export type NotCopied =
  /** The target will never take it. */
  | 'refused'
  /** It failed again and again, and will be tried in the next run. */
  | 'failed';

/** What replicating says, for people or for programs. */
export interface ReplicateOutput {
  notCopied(what: NotCopied, refusal: Refusal): void;
  /** Something to be known. */
  note(text: string): void;
  summary(summary: Summary): void;
}

type Print = (line: string) => void;

/** Lines for a person. */
export class TextOutput implements ReplicateOutput {
  constructor(private readonly print: Print) {}

  notCopied(what: NotCopied, { id, rev, error }: Refusal): void {
    this.print(`${what}: ${JSON.stringify(id)} ${rev}: ${error.error}: ${oneLine(error.reason)}`);
  }

  note(text: string): void {
    this.print(text);
  }

  summary({ documents, bytes, refused, refusedBefore, failed, seconds }: Summary): void {
    const parts = [
      `${count(documents, 'document')} copied, ${size(bytes)}, in ${duration(seconds)}`,
      `${String(refused)} refused${refusedBefore > 0 ? ` (and ${String(refusedBefore)} in earlier runs)` : ''}`,
      ...(failed > 0 ? [`${String(failed)} failed`] : []),
    ];
    this.print(parts.join('; '));
  }
}

/** What a server says may have ends of lines in it. */
const oneLine = (text: string): string => text.replace(/\s+/g, ' ');

/** One JSON object a line. */
export class JsonOutput implements ReplicateOutput {
  constructor(private readonly print: Print) {}

  notCopied(type: NotCopied, { id, rev, error: { error, reason } }: Refusal): void {
    this.#put({ type, id, rev, error, reason });
  }

  note(text: string): void {
    this.#put({ type: 'note', text });
  }

  summary(summary: Summary): void {
    this.#put({ type: 'summary', ...summary });
  }

  #put(value: object): void {
    this.print(JSON.stringify(value));
  }
}
