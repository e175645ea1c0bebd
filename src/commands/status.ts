import { type Absence, absenceText } from '../upstream/mirrors/shown.js';
import { count, size } from './amounts.js';
import { askServer, type ServerAccess } from './server.js';
import { table } from './table.js';

export interface StatusCommand extends ServerAccess {
  readonly json: boolean;
}

/** Asks a running server how it is, and prints that. @throws StartError */
export async function status(command: StatusCommand): Promise<void> {
  const text = await askServer(command, 'GET', '_gateway/status');
  process.stdout.write(command.json ? text : shown(JSON.parse(text) as Shown));
}

interface Shown {
  readonly version: string;
  readonly uptime: number;
  readonly databases: { readonly local: number };
  readonly upstream: {
    readonly url: string;
    readonly state: string;
    readonly since: string;
    readonly reason: string | null;
    readonly counters: Readonly<Record<string, number>>;
  } | null;
  readonly mirrors: {
    readonly total: number;
    readonly states: Readonly<Record<string, number>>;
    readonly ahead: number;
    readonly changes_noticed: { readonly by: string | null; readonly reason: string | null };
    readonly databases: readonly MirrorLine[];
  } | null;
  readonly conflicts: {
    readonly total: number;
    readonly journal_bytes: number;
    readonly databases: readonly {
      readonly name: string;
      readonly conflicts: number;
      readonly deferred: number | null;
      readonly journal_bytes: number;
    }[];
  };
}

/** What of a mirror stands in a table. */
export interface MirrorLine {
  readonly name: string;
  readonly state: string;
  readonly reason: string | null;
  readonly ahead: number | null;
  readonly behind: number | null;
  /** Null while it is there. */
  readonly upstream: Absence | null;
}

function shown({ version, uptime, databases, upstream, mirrors, conflicts }: Shown): string {
  const lines = [`Causeway ${version}, running for ${uptime} s, ${databases.local} local databases`];
  if (upstream === null) lines.push('no upstream');
  else {
    const { url, state, since, reason, counters } = upstream;
    lines.push(`upstream ${url}: ${state} since ${since}${reason === null ? '' : `: ${reason}`}`);
    lines.push(counted(counters));
  }
  if (mirrors !== null && mirrors.total > 0) lines.push(...mirrorLines(mirrors));
  if (conflicts.databases.length > 0) lines.push(...conflictLines(conflicts));
  return `${lines.join('\n')}\n`;
}

function mirrorLines(mirrors: NonNullable<Shown['mirrors']>): string[] {
  const { total, states, ahead, changes_noticed: noticed, databases } = mirrors;
  const { by, reason } = noticed;
  const how = by === null ? '' : `; changes are noticed by ${by}${reason === null ? '' : ` (${reason})`}`;
  const lines = [`${total} mirrors: ${counted(states)}; ${ahead} changes wait for the upstream${how}`];
  if (databases.length > 0) lines.push(mirrorTable(databases));
  if (databases.length < total)
    lines.push(`(${databases.length} of ${total}; causeway mirror list shows more)`);
  return lines;
}

function conflictLines({ total, journal_bytes: bytes, databases }: Shown['conflicts']): string[] {
  return [
    `${count(total, 'document')} in conflict in the databases that are open; ${size(bytes)} in journals`,
    table(
      ['database', 'conflicts', 'deferred', 'journal'],
      databases.map(({ name, conflicts, deferred, journal_bytes: its }) => [
        name,
        String(conflicts),
        String(deferred ?? '?'),
        size(its),
      ]),
    ),
  ];
}

const counted = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ');

export const mirrorTable = (mirrors: readonly MirrorLine[]): string =>
  table(
    ['mirror', 'state', 'ahead', 'behind', 'reason'],
    mirrors.map(({ name, state, ahead, behind, reason, upstream }) => [
      name,
      state,
      String(ahead ?? '?'),
      String(behind ?? '?'),
      reason ?? (upstream === null ? '' : absenceText(upstream)),
    ]),
  );
