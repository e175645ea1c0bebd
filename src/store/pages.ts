/** What LevelDB's iterators have in common. */
interface Reader<T> {
  nextv(size: number): Promise<T[]>;
  close(): Promise<void>;
}

/** Reads an iterator to its end, up to `size` entries at a time, and closes it. */
export async function* pagesOf<T>(reader: Reader<T>, size: number): AsyncGenerator<readonly T[]> {
  try {
    for (let page = await reader.nextv(size); page.length > 0; page = await reader.nextv(size)) yield page;
  } finally {
    await reader.close();
  }
}

/** Pages of what is read on and on. Must be iterated to its end or `return`ed. */
export type Pages<T> = AsyncIterable<readonly T[]>;

/** Reads until a page is empty, and closes the reader. No generator: one that is returned before its first step does nothing. */
export function readPages<T>(reader: { next(): Promise<readonly T[]>; close(): Promise<void> }): Pages<T> {
  const end = async (): Promise<IteratorReturnResult<undefined>> => {
    await reader.close();
    return { done: true, value: undefined };
  };
  const next = async (): Promise<IteratorResult<readonly T[], undefined>> => {
    try {
      const page = await reader.next();
      return page.length === 0 ? await end() : { done: false, value: page };
    } catch (error) {
      await end();
      throw error;
    }
  };
  return { [Symbol.asyncIterator]: () => ({ next, return: end }) };
}
