import { forbidden } from '../../errors.js';
import { quote } from '../../json/quote.js';
import { inTurns, type Work } from '../../json/turns.js';
import type { Json } from '../../selector/types.js';
import { firstRefused } from '../../store/conflicts/resolve.js';
import type { Resolved, ResolveOptions, ResolvingWrites } from '../../store/conflicts/types.js';
import { DatabaseView } from '../../store/database-view.js';
import { accepted, type Judged, resultsOf } from '../../store/judging.js';
import type { Database } from '../../store/types/database.js';
import type { DocumentEdit, EditResult, WriteOptions } from '../../store/types/edits.js';
import type { Selection } from './partial.js';

/** A partial mirror, which takes no document that it would not mirror. */
export class PartialView extends DatabaseView {
  constructor(
    inner: Database,
    private readonly selection: Selection,
  ) {
    super(inner);
  }

  override async write(edits: readonly DocumentEdit[], options: WriteOptions): Promise<EditResult[]> {
    const judged = await inTurns(this.#judge(edits));
    const good = accepted(judged);
    return resultsOf(judged, good.length === 0 ? [] : await this.inner.write(good, options));
  }

  override async resolve(writes: ResolvingWrites, options?: ResolveOptions): Promise<Resolved> {
    const judged = await inTurns(this.#judge(writes.edits));
    return firstRefused(writes.edits, judged) ?? this.inner.resolve(writes, options);
  }

  *#judge(edits: readonly DocumentEdit[]): Work<readonly Judged[]> {
    const judged: Judged[] = [];
    for (const edit of edits) {
      const fits = edit.deleted || (yield* this.selection.fits(edit.id, () => documentOf(edit)));
      judged.push(fits ? { edit } : { error: forbidden(this.selection.reason) });
      yield;
    }
    return judged;
  }
}

/** A document as it will be, with the names of its attachments. */
function documentOf({ id, body, attachments }: DocumentEdit): Json {
  let text = `{"_id":${quote(id)}`;
  if (body !== '') text += `,${body}`;
  if (attachments !== undefined) {
    const names = Array.from(attachments.keys(), (name) => `${quote(name)}:{"stub":true}`);
    text += `,"_attachments":{${names.join(',')}}`;
  }
  return JSON.parse(`${text}}`) as Json;
}
