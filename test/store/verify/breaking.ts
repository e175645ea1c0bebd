import { createHash } from 'node:crypto';
import type { ClassicLevel } from 'classic-level';
import * as layout from '../../../src/store/layout.js';

type Sublevel = layout.Sublevel;
const { refs } = layout;

export async function keysOf(level: ClassicLevel, { start, end }: Sublevel): Promise<string[]> {
  const keys = await level.keys({ gte: start, lt: end }).all();
  if (keys.length === 0) throw new Error('there is nothing to break');
  return keys;
}

export const drop =
  (sublevel: Sublevel, key?: string) =>
  async (level: ClassicLevel): Promise<void> => {
    const [first = ''] = await keysOf(level, sublevel);
    const full = key === undefined ? first : sublevel.key(key);
    if (!(await level.has(full))) throw new Error(`there is no ${full}`);
    await level.del(full);
  };

export const add =
  (sublevel: Sublevel, key: string, value: string) =>
  (level: ClassicLevel): Promise<void> =>
    level.put(sublevel.key(key), value);

export const alter =
  (sublevel: Sublevel, key: string | undefined, change: (text: string) => string) =>
  async (level: ClassicLevel): Promise<void> => {
    const [first = ''] = await keysOf(level, sublevel);
    const full = key === undefined ? first : sublevel.key(key);
    const before = await level.get(full);
    const after = change(before ?? '');
    if (before === undefined || after === before) throw new Error(`${full} stays as it is`);
    await level.put(full, after);
  };

/** Changes one byte of the first value with some length. */
export const flip =
  (sublevel: Sublevel, length: (bytes: Buffer) => boolean = () => true) =>
  async (level: ClassicLevel): Promise<void> => {
    for (const key of await keysOf(level, sublevel)) {
      const bytes = await level.get<string, Buffer>(key, { valueEncoding: 'buffer' });
      if (bytes === undefined || !length(bytes)) continue;
      bytes.writeUInt8(bytes.readUInt8(bytes.length >> 1) ^ 1, bytes.length >> 1);
      await level.put<string, Buffer>(key, bytes, { valueEncoding: 'buffer' });
      return;
    }
    throw new Error('there is no such value');
  };

/** The sequence of a body of a document. */
export async function seqOf(level: ClassicLevel, id: string, generation?: number): Promise<number> {
  const { rev_map } = JSON.parse((await level.get(layout.documents.key(id))) ?? '') as {
    rev_map: Record<string, number>;
  };
  const of = Object.entries(rev_map).filter(
    ([rev]) => generation === undefined || rev.startsWith(`${String(generation)}-`),
  );
  return Math.max(...of.map(([, seq]) => seq));
}

export const atBody =
  (id: string, generation: number, change: (text: string) => string | undefined) =>
  async (level: ClassicLevel): Promise<void> => {
    const key = layout.bodies.key(layout.seqKey(await seqOf(level, id, generation)));
    const after = change((await level.get(key)) ?? '');
    await (after === undefined ? level.del(key) : level.put(key, after));
  };

export const garbage = (): string => '{"';
export const state = (change: object) => (text: string) =>
  JSON.stringify({ ...(JSON.parse(text) as object), ...change });
export const record = (change: object) => (text: string) =>
  JSON.stringify({ ...(JSON.parse(text) as object), ...change });

/** The key and the text of the entry that marks the body at a sequence, and no other, as kept for merges. */
export function marksOf(seq: number): [string, string] {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt8(1 << (seq % 8), (seq % 128) >> 3);
  return [layout.seqKey(seq - (seq % 128)), bytes.toString('hex')];
}

/** The attachment that very many revisions have. */
export async function sharedDigest(level: ClassicLevel): Promise<string> {
  for await (const key of level.keys({ gte: refs.start, lt: refs.end })) return refs.strip(key);
  throw new Error('no attachment is shared');
}

export const atShared =
  (work: (level: ClassicLevel, digest: string) => Promise<unknown>) =>
  async (level: ClassicLevel): Promise<unknown> =>
    work(level, await sharedDigest(level));

export const BYTES = Buffer.from('bytes');
export const BYTES_DIGEST = `md5-${createHash('md5').update(BYTES).digest('base64')}`;
