import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ClassicLevel } from 'classic-level';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readTexts } from '../../src/store/read-texts.js';

/** One that has nothing in its cache, from a disk that takes its time. */
class SlowLevel extends ClassicLevel {
  override getSync(key: string): string | undefined {
    for (const end = performance.now() + 0.3; performance.now() < end;);
    return super.getSync(key);
  }
}

let folder: string;
let level: SlowLevel;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'causeway-texts-'));
  level = new SlowLevel(folder);
  for (let at = 0; at < 300; at += 2) await level.put(String(at), `text ${String(at)}`);
});

afterAll(async () => {
  await level.close();
  await rm(folder, { recursive: true });
});

it.each([0, 1, 3, 40, 300])(
  'reads %d texts in the order of their keys, whoever reads them',
  async (count) => {
    const numbers = Array.from({ length: count }, (_, at) => at);
    const texts = numbers.map((at) => (at % 2 === 0 ? `text ${String(at)}` : undefined));
    expect(await readTexts(level, numbers.map(String))).toEqual(texts);
  },
);
