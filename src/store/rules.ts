import type { ClassicLevel } from 'classic-level';
import { readBetween } from './list.js';
import { compareIds } from './order.js';
import type { Rules } from './types/rules.js';

/** Keeps what the writes of a database are judged by. */
export class Rulebook {
  #current: Rules;

  private constructor(security: string) {
    this.#current = { security, validators: [] };
  }

  /** Looks through all design documents. */
  static async load(level: ClassicLevel, security: string): Promise<Rulebook> {
    const rulebook = new Rulebook(security);
    for (const { id, text } of await readBetween(level, '_design/', '_design0')) rulebook.note(id, text);
    return rulebook;
  }

  get current(): Rules {
    return this.#current;
  }

  setSecurity(security: string): void {
    this.#current = { ...this.#current, security };
  }

  /** Tells of a design document that was written; `text` is its winner's, undefined where it is deleted. */
  note(id: string, text: string | undefined): void {
    const holds = text !== undefined && holdsValidator(text);
    const others = this.#current.validators.filter((other) => other !== id);
    if (!holds && others.length === this.#current.validators.length) return;
    const validators = holds ? [...others, id].sort(compareIds) : others;
    this.#current = { ...this.#current, validators };
  }
}

/** The name rarely occurs elsewhere, and design documents are few: only then is it worth a parse. */
function holdsValidator(text: string): boolean {
  return text.includes('"validate_doc_update"') && 'validate_doc_update' in (JSON.parse(text) as object);
}
