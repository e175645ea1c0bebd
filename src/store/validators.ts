import type { ClassicLevel } from 'classic-level';
import { readBetween } from './list.js';

/** Which living design documents hold a `validate_doc_update`. */
export class Validators {
  readonly ids = new Set<string>();

  /** Looks through all design documents. */
  static async load(level: ClassicLevel): Promise<Validators> {
    const validators = new Validators();
    for (const { id, text } of await readBetween(level, '_design/', '_design0')) validators.note(id, text);
    return validators;
  }

  /** Tells of a design document that was written; `text` is its winner's, undefined where it is deleted. */
  note(id: string, text: string | undefined): void {
    if (text !== undefined && holdsValidator(text)) this.ids.add(id);
    else this.ids.delete(id);
  }
}

/** The name rarely occurs elsewhere, and design documents are few: only then is it worth a parse. */
function holdsValidator(text: string): boolean {
  return text.includes('"validate_doc_update"') && 'validate_doc_update' in (JSON.parse(text) as object);
}
