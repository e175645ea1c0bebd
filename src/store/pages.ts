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
