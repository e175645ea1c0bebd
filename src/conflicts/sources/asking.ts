import { JsonError, JsonReader } from '../../json/reader.js';
import { inTurns, type Work } from '../../json/turns.js';
import { conflictJson, readResolution } from '../foreign.js';
import { ResolutionError } from '../resolved.js';
import type { ConflictText, ResolutionText } from '../types.js';
import type { Cage } from './cage.js';

/** Characters that a conflict may have on its way to a function. */
const MOST_CHARACTERS = 1 << 24;

/**
 * What a function that is not built in makes of a conflict.
 * @throws ForeignError, or ResolutionError where it answers nonsense; CageUnavailable
 */
export async function askIn(cage: Cage, database: string, conflict: ConflictText): Promise<ResolutionText> {
  const text = conflictJson(database, conflict);
  if (text.length > MOST_CHARACTERS) throw new ResolutionError('its leaves are too large for it');
  return answerTo(conflict, await cage.ask(text));
}

/** @param returned JSON text of what it returned. @throws ResolutionError for nonsense */
export async function answerTo(conflict: ConflictText, returned: string): Promise<ResolutionText> {
  try {
    return await inTurns(read(conflict, returned));
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    throw new ResolutionError(`it returned what no document can hold: ${error.message}`, { cause: error });
  }
}

function* read(conflict: ConflictText, returned: string): Work<ResolutionText> {
  const reader = new JsonReader(returned);
  return yield* readResolution(conflict, yield* reader.readLongText());
}
