import { exitCodes, StartError } from '../../config/exit.js';
import { printable, shortened } from '../printable.js';
import { askServer } from '../server.js';
import { table } from '../table.js';
import { bodyFrom } from './body.js';
import { type ConflictsCommand, placeOf } from './command.js';
import { journal } from './journal.js';
import { preview } from './preview.js';
import { show } from './show.js';

type Action = (command: ConflictsCommand) => Promise<void>;

const ACTIONS: Readonly<Record<string, Action>> = { list, show, preview, resolve, journal, undo };

export const CONFLICT_ACTIONS: readonly string[] = Object.keys(ACTIONS);

/** Shows conflicts of a database of a running server, or what became of them, and resolves them. @throws StartError */
export async function conflicts(command: ConflictsCommand): Promise<void> {
  await ACTIONS[command.action]?.(command);
}

/** Rows of a page. */
const PAGE = 1000;
/** Characters of a reason. */
const REASON = 100;

interface Listed {
  readonly id: string;
  readonly leaves: number;
  readonly winner: string;
  readonly state: string;
  readonly reason: string | null;
  readonly paths: readonly string[];
}

const HEAD = ['document', 'leaves', 'winner', 'state', 'reason'];

/** Page by page, however many there are. */
async function list({ database, state, json, ...access }: ConflictsCommand): Promise<void> {
  const query = state === undefined ? '' : `&state=${encodeURIComponent(state)}`;
  let start: string | null = '0';
  while (start !== null) {
    const place = `${placeOf(database)}/conflicts?limit=${PAGE}&start=${encodeURIComponent(start)}${query}`;
    const page = JSON.parse(await askServer(access, 'GET', place)) as {
      readonly next: string | null;
      readonly conflicts: readonly Listed[];
    };
    const { conflicts: rows } = page;
    if (json) process.stdout.write(rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    else if (rows.length > 0) process.stdout.write(`${table(HEAD, rows.map(cells))}\n`);
    start = page.next;
  }
}

function cells({ id, leaves, winner, state, reason, paths }: Listed): string[] {
  const why = [reason ?? [], paths.join(' ')].flat().join(' ');
  return [printable(id), String(leaves), printable(winner), state, shortened(printable(why), REASON)];
}

async function resolve(command: ConflictsCommand): Promise<void> {
  const { database, about: id, leaf, body, ifLeaves, json, ...access } = command;
  if (id === undefined) throw new StartError(['which document?'], exitCodes.usage);
  const chosen = [
    ...(leaf === undefined ? [] : [`"leaf":${JSON.stringify(leaf)}`]),
    ...(body === undefined ? [] : [`"doc":${await bodyFrom(body)}`]),
    ...(command.delete ? ['"delete":true'] : []),
  ];
  if (chosen.length !== 1)
    throw new StartError(['with what? One of --leaf, --body and --delete'], exitCodes.usage);
  const members = [...chosen, ...(ifLeaves.length === 0 ? [] : [`"ifLeaves":${JSON.stringify(ifLeaves)}`])];
  const place = `${placeOf(database)}/conflicts/${encodeURIComponent(id)}/resolve`;
  const text = await askServer(access, 'POST', place, `{${members.join(',')}}`);
  const { rev, journal: entry } = JSON.parse(text) as { rev: string; journal: number };
  process.stdout.write(json ? text : `${printable(id)} is ${rev} now (entry ${entry} of the journal)\n`);
}

async function undo({ database, about, json, ...access }: ConflictsCommand): Promise<void> {
  if (about === undefined) throw new StartError(['which entry of the journal?'], exitCodes.usage);
  const place = `${placeOf(database)}/journal/${encodeURIComponent(about)}/undo`;
  const text = await askServer(access, 'POST', place, '{}');
  const { revs, journal: entry } = JSON.parse(text) as { revs: string[]; journal: number };
  process.stdout.write(json ? text : `${revs.join(' and ')} are back (entry ${entry} of the journal)\n`);
}
