import { nextTurn } from './turns.js';

/** Characters of a chunk, about. */
const SIZE = 65_536;

/** Puts texts together to chunks, and lets others have their turn after each. */
export async function* inChunks(texts: Iterable<string>): AsyncGenerator<string> {
  let chunk = '';
  for (const text of texts) {
    chunk += text;
    if (chunk.length < SIZE) continue;
    yield chunk;
    chunk = '';
    await nextTurn();
  }
  if (chunk !== '') yield chunk;
}
