import { ResolutionError } from './resolved.js';
import type { AttachmentSummary, VersionText } from './types.js';

/** How somebody names an attachment of a merged document. */
export interface NamedAttachment {
  /** `md5-…`; one without is that of the same name. */
  readonly digest: string | undefined;
  /** What it has when left out. */
  readonly contentType: string | undefined;
}

/**
 * The attachments of leaves that somebody names for a merged document: by their bytes, whatever name these have there.
 * @param leaves in CouchDB's order: the first that has one counts
 * @throws ResolutionError where none has it
 */
export function attachmentsNamed(
  leaves: readonly VersionText[],
  named: ReadonlyMap<string, NamedAttachment>,
): ReadonlyMap<string, AttachmentSummary> {
  const all = leaves.flatMap(({ content }) => [...content.attachments]);
  return new Map(
    Array.from(named, ([name, { digest, contentType }]) => {
      const found = all.find(([its, one]) => (digest === undefined ? its === name : one.digest === digest));
      if (found === undefined)
        throw new ResolutionError(`no leaf has the attachment ${JSON.stringify(name)}`);
      const [, attachment] = found;
      return [name, { ...attachment, contentType: contentType ?? attachment.contentType }];
    }),
  );
}
