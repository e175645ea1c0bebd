/** What a varint says, and where it ends. */
export interface Varint {
  readonly value: number;
  readonly end: number;
}

/** @throws RangeError where there is none */
export function readVarint(bytes: Buffer, start: number): Varint {
  let value = 0;
  let factor = 1;
  for (let at = start; at < start + 8; at++) {
    const byte = bytes.readUInt8(at);
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return { value, end: at + 1 };
    factor *= 128;
  }
  throw new RangeError('a number is too long');
}

/** Unpacks a block that LevelDB has compressed. @throws RangeError where it is no such block */
export function unpack(packed: Buffer): Buffer {
  const { value: length, end } = readVarint(packed, 0);
  // A byte stands for 64 at most.
  if (length > packed.length * 64) throw new RangeError('the length is not true');
  const bytes = Buffer.alloc(length);
  let to = 0;
  for (let at = end; at < packed.length;) {
    const tag = packed.readUInt8(at++);
    const kind = tag & 3;
    if (kind === 0) {
      const extra = Math.max(0, (tag >> 2) - 59);
      const size = (extra === 0 ? tag >> 2 : packed.readUIntLE(at, extra)) + 1;
      at += extra;
      if (at + size > packed.length || to + size > length) throw new RangeError('it ends too early');
      packed.copy(bytes, to, at, at + size);
      at += size;
      to += size;
      continue;
    }
    const size = kind === 1 ? ((tag >> 2) & 7) + 4 : (tag >> 2) + 1;
    const width = kind === 3 ? 4 : kind;
    const low = packed.readUIntLE(at, width);
    const distance = kind === 1 ? ((tag >> 5) << 8) | low : low;
    at += width;
    if (distance === 0 || distance > to || to + size > length) throw new RangeError('it points nowhere');
    // Byte by byte: what is copied may reach into what is being made.
    for (const stop = to + size; to < stop; to++) bytes[to] = bytes[to - distance] ?? 0;
  }
  if (to !== length) throw new RangeError('it ends too early');
  return bytes;
}
