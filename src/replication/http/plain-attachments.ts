import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { CouchError } from '../../errors.js';
import { quote } from '../../json/quote.js';
import { JsonError } from '../../json/reader.js';
import { members } from '../../json/text.js';
import type { FollowingAttachment } from '../../multipart/writer.js';
import type { RevisionWithAttachments } from '../peer.js';
import { attachmentsIn } from '../revision-text.js';

export const isPacked = ({ encoding }: FollowingAttachment): boolean => encoding !== undefined;

/**
 * A revision with the bytes of its attachments as they were before they were packed: servers that know no
 * `encoding`, such as express-pouchdb, would keep the packed ones for the content. @throws JsonError
 */
export function withPlainAttachments(document: RevisionWithAttachments): RevisionWithAttachments {
  const entries = new Map(attachmentsIn(document.text));
  const attachments = document.attachments.map((one) => {
    if (!isPacked(one)) return one;
    const { name, type } = one;
    const entry = members(entries.get(name) ?? '{}') ?? new Map<string, string>();
    const length: unknown = JSON.parse(entry.get('length') ?? 'null');
    if (typeof length !== 'number') throw new JsonError('an attachment without a length');
    for (const member of ['encoding', 'encoded_length', 'digest']) entry.delete(member);
    entries.set(name, objectOf(entry));
    return { name, type, length, body: () => unpacked(one, length) };
  });
  const own = members(document.text) ?? new Map<string, string>();
  own.set('_attachments', objectOf(entries));
  return { ...document, text: objectOf(own), attachments };
}

const objectOf = (texts: ReadonlyMap<string, string>): string =>
  `{${Array.from(texts, ([name, text]) => `${quote(name)}:${text}`).join(',')}}`;

/** @throws CouchError 400 where it is not what was said of it */
async function* unpacked({ name, body }: FollowingAttachment, length: number): AsyncGenerator<Buffer> {
  // Whoever reads it hears of failures.
  const bytes = pipeline(Readable.from(body()), createGunzip(), () => undefined);
  let left = length;
  try {
    for await (const chunk of bytes as AsyncIterable<Buffer>) {
      left -= chunk.length;
      if (left < 0) break;
      yield chunk;
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code?.startsWith('Z_') !== true) throw error;
    left = -1;
  }
  if (left !== 0)
    throw new CouchError(400, 'bad_request', `the attachment ${name} is not what it says it is`);
}
