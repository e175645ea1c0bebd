/** Documents that are easily told apart, of about `size` bytes each. */
export function* documents(count: number, size = 500, prefix = 'doc-'): Generator<Record<string, unknown>> {
  for (let index = 0; index < count; index += 1) {
    const _id = `${prefix}${String(index).padStart(7, '0')}`;
    const text = `${String(index)} of ${String(count)} `;
    yield {
      _id,
      index,
      even: index % 2 === 0,
      text: text.repeat(Math.ceil(size / text.length)).slice(0, size - 70),
    };
  }
}
