import { mkdir } from 'node:fs/promises';
import type { ClassicLevel } from 'classic-level';
import { newLevel, openLevel } from '../store/level.js';
import { WriteGate } from '../store/write-gate.js';
import type { ListInfo, ListKey } from './rejection.js';

/** It is written seldom, and a page of it is read at a time. */
const MEMORY = { cacheSize: 256 << 10, writeBufferSize: 256 << 10 };

/** The LevelDB that holds all lists, open, with what is known of each. */
export interface Opened {
  readonly level: ClassicLevel;
  readonly gate: WriteGate;
  /** By `listKey`. */
  readonly lists: Map<string, ListInfo>;
}

export async function openLists(folder: string): Promise<Opened> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const level = newLevel(folder, MEMORY);
  await openLevel(level);
  const lists = new Map<string, ListInfo>();
  for await (const [key, text] of level.iterator({ gte: 'l', lt: 'm' }))
    lists.set(key, JSON.parse(text) as ListInfo);
  return { level, gate: new WriteGate(), lists };
}

/** Keys are JSON, in which nothing that somebody chose can pass for a separator. */
export const listKey = ({ owner, name }: ListKey): string => `l${JSON.stringify([owner, name])}`;

export const entryKey = ({ owner, name }: ListKey, id: string, rev: string): string =>
  `e${JSON.stringify([owner, name, id, rev])}`;

/** Where the rejections of a list stand, or those of one of its documents. */
export function entriesOf(
  { owner, name }: ListKey,
  id?: string,
): { readonly gte: string; readonly lt: string } {
  const parts = id === undefined ? [owner, name] : [owner, name, id];
  const prefix = `e${JSON.stringify(parts).slice(0, -1)}`;
  // `-` is what follows the comma.
  return { gte: `${prefix},`, lt: `${prefix}-` };
}
