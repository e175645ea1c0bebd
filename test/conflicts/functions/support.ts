import { atOnce } from '../../../src/json/turns.js';
import { normalise } from '../../../src/json/text.js';
import type { DocumentGiven } from '../../../src/conflicts/considering.js';
import { builtIn } from '../../../src/conflicts/functions/builtin.js';
import type {
  AttachmentSummary,
  ConflictText,
  Content,
  LeafText,
  ResolutionText,
} from '../../../src/conflicts/types.js';
import type { RevNode, RevTree } from '../../../src/revtree/tree.js';
import { storedText } from '../../../src/store/document.js';

/** What revisions hold, each as JSON text of a document that may have `_attachments` of the form `{name: digest}`. */
export interface Sides {
  readonly leaves: readonly string[];
  /** Of each leaf but the first; one text for all. */
  readonly bases?: readonly (string | undefined)[] | string;
  readonly id?: string;
}

export function contentOf(text: string): Content {
  const document = JSON.parse(text) as { _attachments?: Record<string, string> };
  const attachments = new Map<string, AttachmentSummary>(
    Object.entries(document._attachments ?? {}).map(([name, digest]) => [
      name,
      { contentType: 'text/plain', digest, length: 1 },
    ]),
  );
  const body = normalise(text.replace(/,?"_attachments":\{[^}]*\}/, '')).slice(1, -1);
  return { body, attachments };
}

export const resolve = (name: string, options: Record<string, unknown>, sides: Sides): ResolutionText =>
  atOnce(builtIn(name, options).resolve(conflictOf(sides)));

/** What merge functions are given. */
export function conflictOf({ leaves, bases, id = 'doc' }: Sides): ConflictText {
  const shared = typeof bases === 'string' ? { rev: '1-a', content: contentOf(bases) } : undefined;
  const all = leaves.map((text, at): LeafText => {
    const own = typeof bases === 'object' ? bases[at - 1] : undefined;
    const base = own === undefined ? shared : { rev: `1-${String(at)}`, content: contentOf(own) };
    const leaf = { rev: `2-${String(9 - at)}`, content: contentOf(text) };
    return at === 0 || base === undefined ? leaf : { ...leaf, base };
  });
  return { id, leaves: all, deleted: [], tree: [] };
}

/** A document with this conflict, as it is read from where it is stored. Its leaves have all the same base, or none. */
export function documentOf({ leaves, bases, id = 'doc' }: Sides): DocumentGiven {
  const nodes = leaves.map((_, at): RevNode => [String(9 - at), { status: 'available' }, []]);
  const tree: RevTree =
    bases === undefined
      ? nodes.map((ids) => ({ pos: 2, ids }))
      : [{ pos: 1, ids: ['a', { status: 'available' }, nodes] }];
  const bodies = new Map(leaves.map((text, at) => [`2-${String(9 - at)}`, text]));
  if (typeof bases === 'string') bodies.set('1-a', bases);
  const texts = Array.from(bodies, ([rev, text]) => [rev, stored(id, rev, text)] as const);
  return { id, tree, bodies: new Map(texts), mayMerge: true };
}

function stored(id: string, rev: string, text: string): string {
  const { body, attachments } = contentOf(text);
  const named = Array.from(attachments, ([name, { contentType, digest, length }]) => [
    name,
    { content_type: contentType, revpos: 1, digest, length, stub: true },
  ]);
  const attached = `"_attachments":${JSON.stringify(Object.fromEntries(named))}`;
  return storedText(
    id,
    rev,
    false,
    named.length === 0 ? body : body === '' ? attached : `${body},${attached}`,
  );
}

/** The merged document as text, or what could not be merged. */
export function merged(
  name: string,
  options: Record<string, unknown>,
  sides: Sides,
): string | readonly string[] {
  const resolution = resolve(name, options, sides);
  if (resolution.kind === 'defer') return resolution.paths ?? [resolution.reason];
  if (resolution.kind !== 'merge') throw new Error(resolution.kind);
  const { body, attachments } = resolution.content;
  const names = Array.from(attachments, ([one, { digest }]) => `"${one}":"${digest}"`);
  return names.length === 0 ? `{${body}}` : `{${body},"_attachments":{${names.join(',')}}}`;
}
