import { documentText, type DocumentExtras } from '../document.js';
import { type Attachment, parseAttachments, splitAttachments } from './members.js';

/**
 * A stored text as it is shown, with what was asked for beside the document's own members.
 * @param contentOf what is said of each attachment behind its type, its age and its digest
 */
export function withAttachments(
  stored: string,
  extras: DocumentExtras,
  contentOf: (attachment: Attachment, name: string) => string,
): string {
  const parts = splitAttachments(stored);
  if (parts === undefined) return documentText(stored, extras);
  const member = shownMember(parseAttachments(parts), contentOf);
  return `${documentText(parts.before, extras).slice(0, -1)},${member}}`;
}

/** The member `_attachments` as it is shown. */
export function shownMember(
  attachments: ReadonlyMap<string, Attachment>,
  contentOf: (attachment: Attachment, name: string) => string,
): string {
  const shown = Array.from(
    attachments,
    ([name, one]) => `${JSON.stringify(name)}:{${head(one)},${contentOf(one, name)}}`,
  );
  return `"_attachments":{${shown.join(',')}}`;
}

const head = ({ contentType, revpos, digest, encoded }: Attachment): string =>
  `"content_type":${JSON.stringify(contentType)},"revpos":${String(revpos)},"digest":"${encoded?.digest ?? digest}"`;

/** What is said of an attachment that is but named. */
export const stub = (one: Attachment): string => `"length":${String(shownLength(one))},"stub":true`;

export const shownLength = ({ length, encoded }: Attachment): number => encoded?.shownLength ?? length;
