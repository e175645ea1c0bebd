import path from 'node:path';
import { checkFiles } from './files.js';
import { type FindingCode, kindOf, type Report } from './findings.js';
import { isLevelError, reasonOf } from './level-errors.js';
import { withView } from './view.js';

/**
 * Checks a LevelDB whose values are JSON objects, of a server that does not run, without writing to it.
 * @param beside a folder in which the next start of the server removes what is left of this
 * @param code of what is found to be damaged
 */
export async function verifyValues(
  code: FindingCode,
  folder: string,
  beside: string,
  report: Report,
): Promise<void> {
  const name = path.basename(folder);
  const problems: string[] = [];
  const damaged = (problem: string): void => {
    problems.push(problem);
    report({ code, problem: `${name}: ${problem}` });
  };
  await checkFiles(folder, (finding) => {
    if (kindOf(finding.code).level === 'problem') damaged(finding.problem);
    else report({ ...finding, problem: `${name}: ${finding.problem}` });
  });
  try {
    await withView(
      folder,
      async (level) => {
        for await (const [key, text] of level.iterator())
          if (!isObject(text)) damaged(`${JSON.stringify(key)} cannot be read`);
      },
      beside,
    );
  } catch (error) {
    if (!isLevelError(error)) throw error;
    // What keeps LevelDB from reading the files was told already.
    if (problems.length === 0) damaged(`LevelDB cannot read it: ${reasonOf(error)}`);
  }
}

function isObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null;
  } catch {
    return false;
  }
}
