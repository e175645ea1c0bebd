import type { ChangeRow } from '../store/types/changes.js';
import type { ChangesQuery } from './query.js';

/** How one kind of feed writes what it has to say. */
export interface Framing {
  readonly head: string;
  /** Rows that follow `before` others. */
  rows(rows: readonly ChangeRow[], before: number): string;
  readonly heartbeat: string;
  /** @param pending left out where nobody counts them */
  end(lastSeq: string, pending: number | undefined): string;
}

const ending = (lastSeq: string, pending: number | undefined): string =>
  `"last_seq":"${lastSeq}"${pending === undefined ? '' : `,"pending":${String(pending)}`}}\n`;

/** One JSON object for all rows: normal feeds and longpolls. */
const object: Framing = {
  head: '{"results":[\n',
  rows: (rows, before) => (before > 0 ? ',\n' : '') + rows.map((row) => row.text).join(',\n'),
  heartbeat: '\n',
  end: (lastSeq, pending) => `\n],\n${ending(lastSeq, pending)}`,
};

/** One JSON object a line. */
const lines: Framing = {
  head: '',
  rows: (rows) => rows.map((row) => `${row.text}\n`).join(''),
  heartbeat: '\n',
  end: (lastSeq, pending) => `{${ending(lastSeq, pending)}`,
};

/** Server-sent events; a browser comes back by itself with the last `id`. */
const events: Framing = {
  head: '',
  rows: (rows) => rows.map((row) => `data: ${row.text}\nid: ${seqOf(row)}\n\n`).join(''),
  heartbeat: 'event: heartbeat\ndata: \n\n',
  end: () => '',
};

/** The token of a row stands at its beginning: `{"seq":"…",`. */
const seqOf = (row: ChangeRow): string => row.text.slice(8, row.text.indexOf('"', 8));

export const framingOf = (feed: ChangesQuery['feed']): Framing =>
  feed === 'continuous' ? lines : feed === 'eventsource' ? events : object;
