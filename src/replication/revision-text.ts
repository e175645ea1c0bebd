import { members, membersInTurns } from '../json/text.js';
import type { RevisionText } from './peer.js';

/** How CouchDB and this server begin a document. */
const HEAD = /^\{"_id":"([ !#-[\]-\uffff]*)","_rev":"([0-9]+-[^"\\]+)"/;
/** No document has attachments without it. */
const ATTACHMENTS = '"_attachments"';

/** A document of which only the id and the revision are looked at. @throws SyntaxError, JsonError where it is none */
export function revisionText(text: string): RevisionText {
  const [, id, rev] = HEAD.exec(text) ?? [];
  if (id !== undefined && rev !== undefined) return { id, rev, text };
  const { _id, _rev } = Object(JSON.parse(text)) as Record<string, unknown>;
  if (typeof _id !== 'string' || typeof _rev !== 'string') throw new SyntaxError('not a document');
  return { id: _id, rev: _rev, text };
}

/** What a document says of its attachments, in their order: JSON texts by their names; undefined where it has none. */
export function attachmentsIn(text: string): ReadonlyMap<string, string> | undefined {
  if (!text.includes(ATTACHMENTS)) return undefined;
  const found = members(members(text)?.get('_attachments') ?? '{}');
  return found === undefined || found.size === 0 ? undefined : found;
}

/** A revision and what it descends from, the newest first. */
export async function branchOf(text: string): Promise<readonly string[]> {
  const revisions = (await membersInTurns(text))?.get('_revisions');
  const { start, ids } = JSON.parse(revisions ?? '{}') as {
    readonly start?: unknown;
    readonly ids?: unknown;
  };
  if (typeof start !== 'number' || !Array.isArray(ids)) return [];
  return ids.map((hash, at) => `${start - at}-${String(hash)}`);
}
