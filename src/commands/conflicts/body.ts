import { readFile } from 'node:fs/promises';
import { text as textOf } from 'node:stream/consumers';
import { exitCodes, StartError } from '../../config/exit.js';
import { JsonError } from '../../json/reader.js';
import { normalise } from '../../json/text.js';

/** The JSON text of a file, or of the standard input. @throws StartError */
export async function bodyFrom(file: string): Promise<string> {
  try {
    return normalise(file === '-' ? await textOf(process.stdin) : await readFile(file, 'utf8'));
  } catch (error) {
    if (error instanceof JsonError) throw new StartError([`${file} holds no JSON`], exitCodes.dataFormat);
    const { message } = error as Error;
    throw new StartError([`${file} cannot be read: ${message}`], exitCodes.noInput, { cause: error });
  }
}
