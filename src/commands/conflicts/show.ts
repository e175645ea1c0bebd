import { exitCodes, StartError } from '../../config/exit.js';
import { elements, members } from '../../json/text.js';
import { printable, shortened } from '../printable.js';
import { askServer } from '../server.js';
import { type ConflictsCommand, placeOf } from './command.js';
import { drawTree, type DrawnTree, LEGEND } from './tree.js';

interface Shown extends DrawnTree {
  readonly id: string;
  readonly state: string | null;
  readonly reason: string | null;
  readonly paths: readonly string[];
  readonly since: string | null;
  readonly journal: readonly number[];
  readonly tree_omitted: number;
  readonly leaves: readonly ShownLeaf[];
}

interface ShownLeaf {
  readonly rev: string;
  readonly body: 'available' | 'missing' | 'too_large';
  readonly base: string | null;
  readonly against: string | null;
  readonly differences_cut: boolean;
}

/** Draws the tree of a document, and says what each of its leaves changed. @throws StartError */
export async function show({ database, about: id, json, ...access }: ConflictsCommand): Promise<void> {
  if (id === undefined) throw new StartError(['which document?'], exitCodes.usage);
  const text = await askServer(access, 'GET', `${placeOf(database)}/conflicts/${encodeURIComponent(id)}`);
  process.stdout.write(json ? text : `${drawn(text).join('\n')}\n`);
}

function drawn(text: string): string[] {
  const shown = JSON.parse(text) as Shown;
  const { tree_omitted: omitted, leaves } = shown;
  // Values as the server sends them: numbers may have more digits than ours.
  const texts = elements(members(text)?.get('leaves') ?? '[]') ?? [];
  return [
    headOf(shown),
    '',
    ...(omitted > 0 ? [`${String(omitted)} older revisions are left out`] : []),
    ...drawTree(shown),
    '',
    LEGEND,
    ...leaves.flatMap((leaf, at) => ['', ...leafLines(leaf, texts[at] ?? '{}')]),
  ];
}

function headOf({ id, state, reason, paths, since, leaves, journal }: Shown): string {
  const standing = state === null ? 'in no conflict' : `${String(leaves.length)} leaves, ${state}`;
  const when = since === null ? '' : ` since ${since}`;
  const why = reason === null ? '' : `: ${printable([reason, ...paths].join(' '))}`;
  const entries = journal.length === 0 ? '' : `; in the journal: ${journal.join(', ')}`;
  return `${printable(id)}: ${standing}${when}${why}${entries}`;
}

const BODIES = { missing: 'its body is not here', too_large: 'its body is too large to be shown here' };

function leafLines({ rev, body, base, against, differences_cut: isCut }: ShownLeaf, text: string): string[] {
  if (body !== 'available') return [`${rev}: ${BODIES[body]}`];
  const member = members(text);
  if (against === null) return [rev, `  ${shortened(printable(member?.get('doc') ?? ''), DOCUMENT)}`];
  const basis = against === base ? 'its base' : 'the winner (the body of its base is not here)';
  const differences = elements(member?.get('differences') ?? '[]') ?? [];
  const lines = differences.length === 0 ? ['  no difference'] : differences.map(differenceLine);
  return [`${rev} against ${basis} ${against}`, ...lines, ...(isCut ? ['  and more'] : [])];
}

/** Characters of a value, and of a whole document. */
const VALUE = 60;
const DOCUMENT = 2000;

function differenceLine(text: string): string {
  const difference = members(text) ?? new Map<string, string>();
  const value = (name: string): string => shortened(printable(difference.get(name) ?? ''), VALUE);
  const path = printable(JSON.parse(difference.get('path') ?? '""') as string);
  switch (difference.get('kind')) {
    case '"added"':
      return `  + ${path}  ${value('to')}`;
    case '"removed"':
      return `  - ${path}  ${value('from')}`;
    default:
      return `  ~ ${path}  ${value('from')} → ${value('to')}`;
  }
}
