import { readAttachments } from './attachments/members.js';

/** Bytes that are stored under a digest. */
interface AttachmentForm {
  readonly digest: string;
  readonly length: number;
}

/** What must be known of a stored body to drop it. */
export interface BodyFacts {
  readonly rev: string;
  /** Characters. */
  readonly length: number;
  /** Its attachments, in all their forms. */
  readonly attachments: readonly AttachmentForm[];
}

export function factsOf(text: string | undefined): BodyFacts {
  if (text === undefined) return { rev: '', length: 0, attachments: [] };
  const attachments: AttachmentForm[] = [];
  for (const { digest, length, encoded } of readAttachments(text).values()) {
    attachments.push({ digest, length });
    if (encoded !== undefined) attachments.push(encoded);
  }
  const rev = attachments.length === 0 ? '' : (JSON.parse(text) as { _rev: string })._rev;
  return { rev, length: text.length, attachments };
}
