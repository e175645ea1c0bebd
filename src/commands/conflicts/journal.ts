import { elements, members } from '../../json/text.js';
import { printable } from '../printable.js';
import { askServer, type ServerAccess } from '../server.js';
import { table } from '../table.js';
import { type ConflictsCommand, placeOf } from './command.js';

/** What stands in every entry. */
interface Shown {
  readonly number: number;
  readonly id: string;
  readonly time: string;
  readonly kind: 'merge' | 'tidy' | 'undo';
  readonly by?: string | null;
  readonly function?: string;
  readonly outcome?: string;
  readonly merged?: string;
  readonly entry?: number;
}

/** Entries that are listed where nobody asks for one. */
const LISTED = 100;

/** The newest entries of a journal, or one of them with the leaves as they were. @throws StartError */
export async function journal({ database, about, json, ...access }: ConflictsCommand): Promise<void> {
  const place = `${placeOf(database)}/journal`;
  process.stdout.write(
    about === undefined
      ? await listed(access, place, json)
      : await one(access, `${place}/${encodeURIComponent(about)}`, json),
  );
}

async function listed(access: ServerAccess, place: string, json: boolean): Promise<string> {
  const text = await askServer(access, 'GET', `${place}?limit=${LISTED}`);
  const { total, entries } = JSON.parse(text) as { total: number; entries: readonly Shown[] };
  if (json) return entries.map((entry) => `${JSON.stringify(entry)}\n`).join('');
  const rows = entries.map((entry) => {
    const { number, time, id } = entry;
    return [String(number), time, printable(id), whatOf(entry), whoOf(entry)];
  });
  const more = entries.length < total ? `(${entries.length} of ${total})\n` : '';
  return `${table(['entry', 'time', 'document', 'what', 'by'], rows)}\n${more}`;
}

async function one(access: ServerAccess, place: string, json: boolean): Promise<string> {
  const text = await askServer(access, 'GET', place);
  if (json) return text;
  const entry = JSON.parse(text) as Shown;
  const { number, id, time } = entry;
  const told = members(text);
  const leaves = elements(told?.get('leaves') ?? '[]') ?? [];
  const lines = [
    `entry ${number}: ${printable(id)}, ${whatOf(entry)} by ${whoOf(entry)}, ${time}`,
    ...leaves.map((leaf) => `in   ${documentIn(leaf)}`),
    ...(entry.kind === 'merge' ? [`out  ${documentIn(told?.get('result') ?? '{}')}`] : []),
  ];
  return `${lines.join('\n')}\n`;
}

/** As the server sends it: numbers may have more digits than ours. */
function documentIn(text: string): string {
  const member = members(text);
  const doc = member?.get('doc') ?? 'null';
  return printable(doc === 'null' ? `${member?.get('rev') ?? ''} (its body is not here any more)` : doc);
}

function whatOf({ kind, outcome, merged, entry }: Shown): string {
  if (kind === 'tidy') return 'leaves deleted that added nothing';
  if (kind === 'undo') return `entry ${String(entry)} undone`;
  const verb = { pick: 'a leaf picked', delete: 'deleted' }[outcome ?? ''] ?? 'merged';
  return `${verb}: ${merged ?? ''}`;
}

function whoOf({ by, function: version }: Shown): string {
  if (by === null) return 'somebody without a name';
  return printable(by ?? version ?? 'the server');
}
