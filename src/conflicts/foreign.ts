import { quote } from '../json/quote.js';
import type { Work } from '../json/turns.js';
import { attachmentText } from './difference.js';
import { attachmentsNamed, type NamedAttachment } from './named.js';
import { ResolutionError } from './resolved.js';
import { restore } from './restored.js';
import type { ConflictText, Content, ResolutionText, VersionText } from './types.js';
import { type ObjectValue, stringOf, type Value, Values } from './value.js';
import { readMembers, readValue } from './value-reader.js';

// What crosses to merge functions that work on parsed values: `Conflict` and `Resolution` as JSON text.

/** The text of a `Conflict`. */
export function conflictJson(database: string, conflict: ConflictText): string {
  const { id, leaves, deleted, base, tree } = conflict;
  const version = (one: VersionText): string => `"rev":${quote(one.rev)},"doc":${documentJson(id, one)}`;
  const baseMember = (one: VersionText | undefined): string =>
    one === undefined ? '' : `,"base":{${version(one)}}`;
  const leafTexts = leaves.map((leaf) => `{${version(leaf)}${baseMember(leaf.base)}}`);
  return (
    `{"database":${quote(database)},"id":${quote(id)},"leaves":[${leafTexts.join(',')}],` +
    `"deleted":${JSON.stringify(deleted)}${baseMember(base)},"tree":${JSON.stringify(tree)}}`
  );
}

/** A version with what it has attached, as `Document`. */
export function documentJson(id: string, { rev, content: { body, attachments } }: VersionText): string {
  const own = body === '' ? '' : `,${body}`;
  const named = Array.from(attachments, ([name, one]) => `${quote(name)}:${attachmentText(one)}`);
  const attached = named.length === 0 ? '' : `,"_attachments":{${named.join(',')}}`;
  return `{"_id":${quote(id)},"_rev":${quote(rev)}${own}${attached}}`;
}

/**
 * Reads what such a function returned. Where it left a value of a leaf as it was, the leaf's text stays: digits that a
 * double does not hold, `1.0`.
 * @param returned the JSON text of a `Resolution`
 * @throws ResolutionError for anything else
 */
export function* readResolution(conflict: ConflictText, returned: string): Work<ResolutionText> {
  const values = new Values(asDouble);
  const value = yield* readValue(values, returned);
  if (value.kind !== 'object') throw nonsense();
  const { members } = value;
  const kinds = ['merge', 'pick', 'delete', 'defer'].filter((kind) => members.has(kind));
  const [kind, ...others] = kinds;
  const said = kind === undefined ? undefined : members.get(kind);
  if (said === undefined || others.length > 0) throw nonsense();
  if (kind === 'merge' && said.kind === 'object') return yield* merged(values, conflict, said);
  if (kind === 'delete' && said.text === 'true') return { kind: 'delete' };
  if (said.kind !== 'string') throw nonsense();
  if (kind === 'pick') return { kind: 'pick', rev: stringOf(said) };
  if (kind !== 'defer') throw nonsense();
  const paths = readPaths(members.get('paths'));
  return { kind: 'defer', reason: stringOf(said), ...(paths !== undefined && { paths }) };
}

/** Numbers as they come out of `JSON.parse` and `JSON.stringify`. */
const asDouble = (text: string): string => JSON.stringify(Number(text));

const nonsense = (): ResolutionError =>
  new ResolutionError('it has to return one of {merge}, {pick}, {delete: true} and {defer}');

function readPaths(paths: Value | undefined): readonly string[] | undefined {
  if (paths === undefined) return undefined;
  if (paths.kind !== 'array') throw nonsense();
  return paths.elements.map((one) => {
    if (one.kind !== 'string') throw nonsense();
    return stringOf(one);
  });
}

/** Members that may stand in what is returned, and mean nothing. */
const IGNORED: ReadonlySet<string> = new Set(['_id', '_rev', '_attachments', '_deleted']);

function* merged(values: Values, conflict: ConflictText, { members }: ObjectValue): Work<ResolutionText> {
  const own = new Map<string, Value>();
  for (const [name, value] of members) {
    if (!name.startsWith('_')) own.set(name, value);
    else if (!IGNORED.has(name)) throw new ResolutionError(`a document has no member ${name}`);
  }
  const deleted = members.get('_deleted')?.text === 'true';
  const leaves: ObjectValue[] = [];
  for (const { content } of conflict.leaves) leaves.push(yield* readMembers(values, content.body));
  const { text, unclear } = yield* restore(values, values.object(own), leaves);
  if (unclear.length > 0)
    return { kind: 'defer', reason: 'leaves differ by more digits than the function sees', paths: unclear };
  const attachments = attachmentsNamed(conflict.leaves, readAttachments(members.get('_attachments')));
  const content: Content = { body: text.slice(1, -1), attachments };
  return { kind: 'merge', deleted, content };
}

function readAttachments(given: Value | undefined): ReadonlyMap<string, NamedAttachment> {
  if (given === undefined) return new Map();
  if (given.kind !== 'object') throw new ResolutionError('_attachments has to be an object');
  return new Map(
    Array.from(given.members, ([name, info]) => {
      if (info.kind !== 'object') throw new ResolutionError(`${JSON.stringify(name)} is no attachment`);
      const { digest, content_type: contentType } = JSON.parse(info.text) as Record<string, unknown>;
      return [name, { digest: textOf(digest), contentType: textOf(contentType) }];
    }),
  );
}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);
