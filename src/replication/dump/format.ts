import { isUtf8 } from 'node:buffer';
import { quote } from '../../json/quote.js';
import { members } from '../../json/text.js';
import type { JsonObject, RevisionText } from '../peer.js';
import { attachmentsIn, revisionText } from '../revision-text.js';
import { damaged } from './errors.js';
import type { Line } from './lines.js';

/** The version of what FORMAT.md describes. */
export const DUMP_FORMAT = 1;

/** Bytes of an attachment in one line; base64 makes 1 MiB of them. */
export const CHUNK = 768 << 10;

/** What the first line says. */
export interface DumpHeader {
  /** Of this dump alone: 32 hexadecimal digits. */
  readonly id: string;
  /** What it was copied from, without credentials. */
  readonly source: string;
  /** Names the replication that writes it. */
  readonly replication: string;
}

/** How lines begin: whoever looks for something finds it by these. */
const DOCUMENT = '{"_id":';
export const CHECKPOINT = '{"checkpoint":';
const COMPLETE = '{"complete":';

const asLine = (value: object): string => `${JSON.stringify(value)}\n`;

export const headerLine = ({ id, source, replication }: DumpHeader): string =>
  asLine({ causeway_dump: DUMP_FORMAT, id, source, replication, begun: new Date().toISOString() });

/** Outside of strings JSON has line ends as white space only. */
export function documentLine({ text }: RevisionText): string {
  const line = text.includes('\n') ? text.replaceAll('\n', ' ') : text;
  return `${line.startsWith(DOCUMENT) ? line : withIdFirst(line)}\n`;
}

function withIdFirst(text: string): string {
  const all = members(text) ?? new Map<string, string>();
  const id = all.get('_id') ?? '';
  all.delete('_id');
  return `${DOCUMENT}${id}${Array.from(all, ([name, value]) => `,${JSON.stringify(name)}:${value}`).join('')}}`;
}

export const attachmentLine = (name: string, bytes: Buffer): string =>
  `{"attachment":${quote(name)},"data":"${bytes.toString('base64')}"}\n`;

export const checkpointLine = (id: string, log: JsonObject): string =>
  `${CHECKPOINT}${JSON.stringify(id)},"log":${JSON.stringify(log)}}\n`;

export const completeLine = (): string => asLine({ complete: new Date().toISOString() });

/** Whether a line, as far as it is given, says that everything was written. */
export const isComplete = (line: Buffer): boolean => line.subarray(0, COMPLETE.length).equals(COMPLETE_BYTES);
const COMPLETE_BYTES = Buffer.from(COMPLETE);
const DOCUMENT_BYTES = Buffer.from(DOCUMENT);

/** What a line is. */
export type DumpLine =
  | { readonly kind: 'header'; readonly header: DumpHeader }
  | { readonly kind: 'document'; readonly document: RevisionText }
  | { readonly kind: 'attachment'; readonly name: string; readonly data: string }
  | { readonly kind: 'checkpoint'; readonly id: string; readonly log: JsonObject }
  /** Of no meaning here: later versions may have more kinds. */
  | { readonly kind: 'other' };

/** @throws DumpError */
export function parseLine({ start, bytes }: Line): DumpLine {
  if (!isUtf8(bytes)) throw damaged(start, 'a line is not UTF-8');
  const text = bytes.toString();
  try {
    const isDocument = bytes.subarray(0, DOCUMENT_BYTES.length).equals(DOCUMENT_BYTES);
    return isDocument ? { kind: 'document', document: revisionText(text) } : parseOther(text);
  } catch (error) {
    throw damaged(start, 'a line is not what it should be', error);
  }
}

/** @throws SyntaxError */
function parseOther(text: string): DumpLine {
  if (text.trim() === '') return { kind: 'other' };
  const line: unknown = JSON.parse(text);
  if (typeof line !== 'object' || line === null) return { kind: 'other' };
  const { _id, attachment, data, checkpoint, log, causeway_dump: version } = line as JsonObject;
  if (typeof _id === 'string') return { kind: 'document', document: revisionText(text) };
  if (typeof attachment === 'string' && typeof data === 'string')
    return { kind: 'attachment', name: attachment, data };
  if (typeof checkpoint === 'string' && typeof log === 'object' && log !== null)
    return { kind: 'checkpoint', id: checkpoint, log: log as JsonObject };
  return version === DUMP_FORMAT
    ? { kind: 'header', header: line as JsonObject & DumpHeader }
    : { kind: 'other' };
}

/** An attachment whose bytes stand in lines of their own. */
export interface DumpedAttachment {
  readonly name: string;
  readonly type: string;
  /** Bytes, as they were sent. */
  readonly length: number;
  readonly encoding: 'gzip' | undefined;
}

/** What follows a document, in its order. @throws SyntaxError, JsonError */
export function followsOf(text: string): readonly DumpedAttachment[] {
  return entriesOf(text).flatMap(
    ([name, { content_type: type, encoding, length, encoded_length: packed, follows }]) => {
      if (follows !== true) return [];
      const isPacked = encoding === 'gzip';
      const bytes = isPacked ? packed : length;
      if (typeof bytes !== 'number') throw new SyntaxError('an attachment without a length');
      return [
        {
          name,
          type: typeof type === 'string' ? type : 'application/octet-stream',
          length: bytes,
          encoding: isPacked ? 'gzip' : undefined,
        },
      ];
    },
  );
}

/** An attachment that a document names without its bytes. */
export const stubIn = (text: string): string | undefined =>
  entriesOf(text).find(([, { stub }]) => stub === true)?.[0];

const entriesOf = (text: string): readonly (readonly [string, JsonObject])[] =>
  Array.from(attachmentsIn(text) ?? [], ([name, entry]) => [name, JSON.parse(entry) as JsonObject]);
