import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import type { DesignFunctions } from '../../src/design/types.js';
import { openCage, type Cage } from './support.js';

const COUNT = 'function () { var n = 0; while (getRow()) n++; return String(n); }';
/** A page for each of them, so that the thread asks again at once. */
const ROWS = 20;

let cage: Cage;
beforeAll(async () => {
  cage = await openCage();
});
afterAll(() => cage.close());

async function* pages(): AsyncGenerator<readonly string[]> {
  for (let n = 0; n < ROWS; n++) yield await Promise.resolve([`{"key":${n}}`]);
}

/** The server loses the processor for a while just before it wakes a thread. */
function wakeLate(milliseconds: number) {
  const notify = Atomics.notify.bind(Atomics);
  return vi.spyOn(Atomics, 'notify').mockImplementation((array, index, count) => {
    const end = performance.now() + milliseconds;
    while (performance.now() < end);
    return notify(array, index, count);
  });
}

async function answer(functions: DesignFunctions): Promise<string> {
  const { signal } = new AbortController();
  let text = '';
  for await (const piece of functions.list('count', '{}', '{"path":[]}', { pages: pages(), signal }))
    text += piece;
  return text;
}

it('a list function that is woken late is given every row, and what is called next runs', async () => {
  const functions = await cage.of({ lists: { count: COUNT } });
  const late = wakeLate(5);
  try {
    const answers = [await answer(functions), await answer(functions), await answer(functions)];
    for (const text of answers) expect(text.endsWith(`}${String(ROWS)}`), text).toBe(true);
    expect(late).toHaveBeenCalled();
  } finally {
    late.mockRestore();
  }
  expect(cage.app.errors).toEqual([]);
});
