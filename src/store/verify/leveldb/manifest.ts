import { readFile } from 'node:fs/promises';
import { piecesOf, PieceType } from './log-file.js';
import { readVarint, type Varint } from './snappy.js';

/** What an edit of the list of tables says; each field begins with its number. */
const [COMPARATOR, LOG, NEXT_FILE, LAST_SEQUENCE, COMPACTION, DELETED, ADDED, OLD_LOG] = [
  1, 2, 3, 4, 5, 6, 7, 9,
];

/**
 * The numbers of the tables that count. LevelDB leaves others behind when it is closed, or killed, while it merges
 * some; it removes them when it opens again.
 * @returns undefined where the file cannot be read
 */
export async function tablesIn(manifest: string): Promise<ReadonlySet<number> | undefined> {
  const bytes = await readFile(manifest);
  const tables = new Set<number>();
  try {
    for (const edit of recordsOf(bytes)) apply(edit, tables);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return undefined;
  }
  return tables;
}

/** Puts the pieces of each record together; the last one may be cut off. */
function* recordsOf(bytes: Buffer): Generator<Buffer, undefined> {
  let parts: Buffer[] = [];
  for (const { type, data } of piecesOf(bytes)) {
    parts.push(data);
    if (type !== PieceType.FULL && type !== PieceType.LAST) continue;
    yield Buffer.concat(parts);
    parts = [];
  }
}

function apply(edit: Buffer, tables: Set<number>): void {
  let at = 0;
  const number = (): number => {
    const { value, end }: Varint = readVarint(edit, at);
    at = end;
    return value;
  };
  const skipText = (): void => {
    const length = number();
    at += length;
  };
  while (at < edit.length) {
    switch (number()) {
      case COMPARATOR:
        skipText();
        break;
      case LOG:
      case NEXT_FILE:
      case LAST_SEQUENCE:
      case OLD_LOG:
        number();
        break;
      case COMPACTION:
        number();
        skipText();
        break;
      case DELETED:
        number();
        tables.delete(number());
        break;
      case ADDED:
        number();
        tables.add(number());
        number();
        skipText();
        skipText();
        break;
      default:
        throw new RangeError('a field is not known');
    }
  }
}
