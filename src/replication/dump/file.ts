import { constants } from 'node:fs';
import { type FileHandle, open, realpath, stat } from 'node:fs/promises';
import { replaceFile } from '../../config/files.js';
import { DumpError, NoFile } from './errors.js';
import { type DumpHeader, headerLine, isComplete, parseLine } from './format.js';
import { NEWLINE, readBytes } from './lines.js';

/** Bytes within which the first line ends. */
const HEADER_LIMIT = 64 << 10;
/** Bytes within which the last line begins, where it says that the dump is complete. */
const LAST_LINE_LIMIT = 256;

/** A dump that is open. Must be closed. */
export interface DumpFile {
  readonly path: string;
  readonly file: FileHandle;
  readonly header: DumpHeader;
  /** Where the first entry begins. */
  readonly start: number;
  /** Bytes that there were when it was opened. */
  readonly length: number;
}

/** Makes a dump in which nothing stands yet. */
export async function makeDump(path: string, header: DumpHeader): Promise<void> {
  // A symbolic link to an empty file stays one.
  await replaceFile(await realpath(path).catch(() => path), headerLine(header));
}

/** Whether there is something to go on with: a file that is not empty. @throws NoFile */
export async function isBegun(path: string): Promise<boolean> {
  const found = await stat(path).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  });
  if (found?.isFile() === false) throw new NoFile(path);
  return found !== undefined && found.size > 0;
}

/** @param use to be read, or to be gone on with. @throws DumpError where it is none, errors of the file system */
export async function openDump(path: string, use: 'read' | 'append'): Promise<DumpFile> {
  // Without waiting for whoever writes to a pipe: it is refused.
  const file = await open(path, use === 'read' ? constants.O_RDONLY | constants.O_NONBLOCK : 'a+');
  try {
    const found = await file.stat();
    if (!found.isFile()) throw new NoFile(path);
    const bytes = await readBytes(file, 0, HEADER_LIMIT);
    const end = bytes.indexOf(NEWLINE);
    return { path, file, header: headerOf(path, bytes.subarray(0, end)), start: end + 1, length: found.size };
  } catch (error) {
    await file.close();
    throw error;
  }
}

function headerOf(path: string, bytes: Buffer): DumpHeader {
  try {
    const line = parseLine({ start: 0, bytes, end: bytes.length + 1 });
    if (line.kind === 'header' && /^[0-9a-f]{32}$/.test(line.header.id)) return line.header;
  } catch (error) {
    throw new DumpError(`${path} is no dump that this version reads`, { cause: error });
  }
  throw new DumpError(`${path} is no dump that this version reads`);
}

/** Whether the last line says that everything was written. */
export async function endsComplete(file: FileHandle): Promise<boolean> {
  const { size } = await file.stat();
  const bytes = await readBytes(file, Math.max(0, size - LAST_LINE_LIMIT), LAST_LINE_LIMIT);
  if (bytes.at(-1) !== NEWLINE) return false;
  return isComplete(bytes.subarray(bytes.lastIndexOf(NEWLINE, bytes.length - 2) + 1));
}
