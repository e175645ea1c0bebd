import { exitCodes, StartError } from '../config/exit.js';
import { askServer, type ServerAccess } from './server.js';
import { type MirrorLine, mirrorTable } from './status.js';

export interface MirrorCommand extends ServerAccess {
  readonly action: string;
  readonly database: string | undefined;
  /** Evict it though something has not gone up. */
  readonly force: boolean;
  /** List those in this state alone. */
  readonly state: string | undefined;
  readonly json: boolean;
}

/** What is done with a mirror, and what is said once it is done. */
const DONE: Readonly<Record<string, string>> = {
  pause: 'is paused',
  resume: 'goes on',
  sync: 'is brought up to date',
  resync: 'is compared with the upstream as a whole',
  evict: 'is not here any more',
  detach: 'is a local database now',
  'push-all': 'goes upstream as a whole',
  'pull-anew': 'is mirrored anew',
};

export const MIRROR_ACTIONS: readonly string[] = ['list', 'show', ...Object.keys(DONE)];

/** Rows of a page. */
const PAGE = 1000;

/** Shows mirrors of a running server, or does something with one of them. @throws StartError */
export async function mirror(command: MirrorCommand): Promise<void> {
  const { action, database } = command;
  if (action === 'list') await list(command);
  else if (database === undefined)
    throw new StartError([`which database? causeway mirror ${action} DB`], exitCodes.usage);
  else if (action === 'show') await show(command, database);
  else await act(command, database);
}

async function list({ state, json, ...access }: MirrorCommand): Promise<void> {
  const query = state === undefined ? '' : `&state=${encodeURIComponent(state)}`;
  const rows: MirrorLine[] = [];
  for (;;) {
    const place = `_gateway/databases?start=${rows.length}&limit=${PAGE}${query}`;
    const { databases } = JSON.parse(await askServer(access, 'GET', place)) as {
      readonly databases: readonly MirrorLine[];
    };
    rows.push(...databases);
    if (databases.length < PAGE) break;
  }
  const lines = json ? rows.map((row) => JSON.stringify(row)) : [mirrorTable(rows)];
  process.stdout.write(lines.map((line) => `${line}\n`).join(''));
}

async function show({ json, ...access }: MirrorCommand, database: string): Promise<void> {
  const text = await askServer(access, 'GET', placeOf(database));
  process.stdout.write(json ? text : `${JSON.stringify(JSON.parse(text), undefined, 2)}\n`);
}

async function act({ action, force, json, ...access }: MirrorCommand, database: string): Promise<void> {
  const query = force ? '?force=true' : '';
  const text = await askServer(access, 'POST', `${placeOf(database)}/${action}${query}`);
  const { kept } = JSON.parse(text) as { readonly kept?: string };
  const more = kept === undefined ? '' : `; what was here is kept as ${kept}`;
  process.stdout.write(json ? text : `${database} ${DONE[action] ?? ''}${more}\n`);
}

const placeOf = (database: string): string => `_gateway/databases/${encodeURIComponent(database)}`;
