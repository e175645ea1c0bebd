import { expect } from 'vitest';
import type { TestApp } from '../../http/app.js';

/** What the list of conflicts answers. */
export interface Listed {
  readonly total: number;
  readonly next: string | null;
  readonly last_seq: string;
  readonly conflicts: readonly {
    readonly seq: string;
    readonly id: string;
    readonly leaves: number;
    readonly winner: string;
    readonly state: string;
  }[];
}

/** A revision of 32 digits that anybody can tell from others. */
export const nodeOf = (name: string, generation = 2): string => `${generation}-${hashOf(name)}`;

const hashOf = (name: string): string => Buffer.from(name).toString('hex').padEnd(32, '0');

/** Edits of one document at the same time, each with a name and what it says, as replicated documents. */
export const clashDocuments = (
  id: string,
  leaves: Readonly<Record<string, object>> = { a: { n: 1 }, b: { n: 2 } },
  base: object = { n: 0 },
): object[] => [
  { _id: id, _rev: nodeOf('base', 1), ...base },
  ...Object.entries(leaves).map(([name, members]) => ({
    _id: id,
    _revisions: { start: 2, ids: [hashOf(name), hashOf('base')] },
    ...members,
  })),
];

/** Writes such documents. */
export async function clash(
  app: TestApp,
  db: string,
  ...edits: Parameters<typeof clashDocuments>
): Promise<void> {
  const json = { docs: clashDocuments(...edits), new_edits: false };
  const { status, body } = await app.request('POST', `/${db}/_bulk_docs`, { json });
  expect({ status, body }).toEqual({ status: 201, body: [] });
}
