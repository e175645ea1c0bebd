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

/** Edits of one document at the same time, each with a name and what it says. */
export async function clash(
  app: TestApp,
  db: string,
  id: string,
  leaves: Readonly<Record<string, object>> = { a: { n: 1 }, b: { n: 2 } },
  base: object = { n: 0 },
): Promise<void> {
  const docs = [
    { _id: id, _rev: nodeOf('base', 1), ...base },
    ...Object.entries(leaves).map(([name, members]) => ({
      _id: id,
      _revisions: { start: 2, ids: [hashOf(name), hashOf('base')] },
      ...members,
    })),
  ];
  const { status, body } = await app.request('POST', `/${db}/_bulk_docs`, {
    json: { docs, new_edits: false },
  });
  expect({ status, body }).toEqual({ status: 201, body: [] });
}
