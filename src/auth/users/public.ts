import { members } from '../../json/text.js';
import { splitAttachments } from '../../store/attachments/members.js';

/** What a document is recognised by. */
const ALWAYS: readonly string[] = ['_id', '_rev', '_deleted'];

/**
 * A stored document with the public ones of its members; attachments are nobody else's.
 * @returns undefined where it has none of them
 */
export function publicText(text: string, fields: readonly string[]): string | undefined {
  const own = members(splitAttachments(text)?.before ?? text) ?? new Map<string, string>();
  const shown = [...own].filter(([name]) => ALWAYS.includes(name) || fields.includes(name));
  if (shown.every(([name]) => ALWAYS.includes(name))) return undefined;
  return `{${shown.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(',')}}`;
}
