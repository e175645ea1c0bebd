import { randomUUID } from 'node:crypto';

export type Chunk = string | Buffer;

/** What can be sent as a whole answer or as a part of one. */
export interface Entity {
  /** Its Content-Type. */
  readonly type: string;
  /** Lines that stand before the Content-Type of a part. */
  readonly headers?: readonly string[];
  /** Bytes. */
  readonly length: () => number;
  /** The content; texts are sent as UTF-8. */
  readonly chunks: () => AsyncIterable<Chunk> | Iterable<Chunk>;
}

/** An attachment that follows its document. */
export interface FollowingAttachment {
  readonly name: string;
  /** Its media type. */
  readonly type: string;
  /** Bytes, as they are sent. */
  readonly length: number;
  /** How the bytes are encoded, where they are. */
  readonly encoding?: 'gzip' | undefined;
  /** Opened when its turn comes; has to give `length` bytes. */
  readonly body: () => AsyncIterable<Buffer>;
}

/** A boundary that no content has. */
export const newBoundary = (): string => randomUUID().replaceAll('-', '');

/** A document as JSON text. */
export const jsonEntity = (text: string, type = 'application/json'): Entity => ({
  type,
  length: () => Buffer.byteLength(text),
  chunks: () => [text],
});

/** JSON text that says why there is no document. */
export const errorEntity = (text: string): Entity => jsonEntity(text, 'application/json; error="true"');

/**
 * A document and the attachments that follow it, in CouchDB's `multipart/related`; JSON where none follows.
 * @param text the document, whose `_attachments` name what follows in the same order
 */
export function documentEntity(
  text: string,
  attachments: readonly FollowingAttachment[],
  boundary: string,
): Entity {
  if (attachments.length === 0) return jsonEntity(text);
  const opening = `--${boundary}\r\nContent-Type: application/json\r\n\r\n${text}`;
  const headOf = (attachment: FollowingAttachment): string =>
    `\r\n--${boundary}${headers(attachment)}\r\n\r\n`;
  const closing = `\r\n--${boundary}--`;
  return {
    type: `multipart/related; boundary="${boundary}"`,
    length: () =>
      attachments.reduce(
        (sum, attachment) => sum + Buffer.byteLength(headOf(attachment)) + attachment.length,
        Buffer.byteLength(opening) + Buffer.byteLength(closing),
      ),
    async *chunks() {
      yield opening;
      for (const attachment of attachments) {
        yield headOf(attachment);
        yield* contentOf(attachment);
      }
      yield closing;
    },
  };
}

/**
 * CouchDB writes names as they are, which nobody can read where they have quotes in them. We quote them as RFC 2183 has
 * it for attachments; the `%22` of RFC 7578 is for forms, and would be the same as that of a name that has it.
 */
function headers({ name, type, length, encoding }: FollowingAttachment): string {
  const file = singleLine(name).replace(/["\\]/g, '\\$&');
  return [
    `\r\nContent-Disposition: attachment; filename="${file}"`,
    `\r\nContent-Type: ${singleLine(type)}`,
    `\r\nContent-Length: ${length}`,
    encoding === undefined ? '' : `\r\nContent-Encoding: ${encoding}`,
  ].join('');
}

/** The length was announced: other than that would be taken for something else. */
async function* contentOf({ length, body }: FollowingAttachment): AsyncGenerator<Buffer> {
  let left = length;
  for await (const chunk of body()) {
    left -= chunk.length;
    if (left < 0) break;
    yield chunk;
  }
  if (left !== 0) throw new Error(`An attachment of ${length} bytes has ${left < 0 ? 'more' : 'less'}`);
}

/** A text that may stand in a header: what clients chose cannot add lines to it. */
export function singleLine(text: string): string {
  // eslint-disable-next-line no-control-regex -- they are what must not be in a header
  return text.replace(/[\x00-\x1f\x7f]/g, (character) => encodeURIComponent(character));
}
