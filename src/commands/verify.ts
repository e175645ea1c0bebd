import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { lockDataDirectory } from '../config/datadir.js';
import { exitCodes, StartError } from '../config/exit.js';
import { makeFolder } from '../config/files.js';
import { configSchema } from '../config/schema.js';
import { folderOf } from '../store/names.js';
import { copyToPouch } from '../store/plain-copy.js';
import { type Finding, type FindingCode, kindOf } from '../store/verify/findings.js';
import { repairDatabase } from '../store/verify/repair.js';
import { verifyDatabase } from '../store/verify/verify.js';
import { checkDirectory } from './check-directory.js';
import { ProgressLine } from './progress.js';
import { JsonOutput, TextOutput, type Totals, type VerifyOutput } from './verify-output.js';

export interface VerifyCommand {
  /** The data directory. */
  readonly data: string;
  /** Databases to look at; all of them when there are none. */
  readonly databases: readonly string[];
  readonly repair: boolean;
  /** An empty or missing folder for plain copies. */
  readonly toPouch: string | undefined;
  readonly json: boolean;
}

/**
 * Checks a data directory that no server uses, and says what it found.
 * @returns the exit code
 */
export async function verify(command: VerifyCommand): Promise<number> {
  const directory = await lockDataDirectory(command.data);
  try {
    if (command.toPouch !== undefined) await prepareTarget(command.toPouch, directory.path);
    return await new Verification(command, directory.path).run();
  } finally {
    await directory.close();
  }
}

/** Copies go into a folder of their own, so that nobody takes what was there before for one of them. */
async function prepareTarget(target: string, root: string): Promise<void> {
  if (!path.relative(root, path.resolve(target)).startsWith('..'))
    throw new StartError([`${target} lies in the data directory`], exitCodes.cannotWrite);
  try {
    await makeFolder(path.resolve(target));
    if ((await readdir(target)).length === 0) return;
  } catch (error) {
    throw new StartError([`${target} cannot be used: ${(error as Error).message}`], exitCodes.cannotWrite, {
      cause: error,
    });
  }
  throw new StartError([`${target} is not empty`], exitCodes.cannotWrite);
}

/** How a database is opened to be repaired: as a server with the default configuration does. */
const OPENING = configSchema.shape.store.parse({});

class Verification {
  readonly #progress = new ProgressLine();
  readonly #output: VerifyOutput;
  readonly #totals: Totals = { problems: 0, notes: 0 };

  constructor(
    private readonly command: VerifyCommand,
    private readonly root: string,
  ) {
    const print = (line: string): void => {
      this.#progress.clear();
      process.stdout.write(`${line}\n`);
    };
    this.#output = command.json ? new JsonOutput(print) : new TextOutput(print);
  }

  async run(): Promise<number> {
    const found: Finding[] = [];
    const all = await checkDirectory(this.root, (finding) => found.push(finding));
    const names = this.#wanted(all);
    this.#output.begin();
    for (const finding of found) this.#output.finding(finding);
    this.#output.end();
    this.#add(found.map(({ code }) => code));
    for (const name of names) this.#add(await this.#database(name));
    this.#output.summary(names.length, this.#totals);
    return this.#totals.problems === 0 ? 0 : exitCodes.findings;
  }

  #wanted(all: readonly string[]): readonly string[] {
    const { databases } = this.command;
    const missing = databases.filter((name) => !all.includes(name));
    if (missing.length > 0) {
      const lines = missing.map((name) => `there is no database ${name} in ${this.root}`);
      throw new StartError(lines, exitCodes.noInput);
    }
    return databases.length > 0 ? databases : all;
  }

  #add(codes: readonly FindingCode[]): void {
    for (const code of codes) {
      if (kindOf(code).level === 'problem') this.#totals.problems++;
      else this.#totals.notes++;
    }
  }

  /** @returns what is wrong with it in the end */
  async #database(name: string): Promise<readonly FindingCode[]> {
    const folder = path.join(this.root, 'databases', folderOf(name));
    const marker = path.join(this.root, 'copies', folderOf(name));
    let codes = await this.#check(name, folder, marker);
    const parts = new Set(codes.flatMap((code) => kindOf(code).repair ?? []));
    if (this.command.repair && parts.size > 0) {
      try {
        await repairDatabase({ name, folder, marker, level: OPENING }, parts);
        this.#output.done('repaired', 'what is found now follows');
      } catch (error) {
        this.#output.done('not repaired', (error as Error).message);
      }
      codes = await this.#check(name, folder, marker);
    }
    if (this.command.toPouch !== undefined) await this.#copy(name, folder, this.command.toPouch, codes);
    return codes;
  }

  async #check(name: string, folder: string, marker: string): Promise<readonly FindingCode[]> {
    const codes: FindingCode[] = [];
    this.#output.begin(name);
    const counted = await verifyDatabase(
      { folder, marker },
      {
        report: (finding) => {
          codes.push(finding.code);
          this.#output.finding(finding);
        },
        progress: (part, done) => this.#progress.show(`${name}: ${done.toLocaleString('en')} ${part}`),
      },
    );
    this.#output.end(counted);
    return codes;
  }

  async #copy(name: string, folder: string, target: string, codes: readonly FindingCode[]): Promise<void> {
    if (codes.some((code) => kindOf(code).level === 'problem')) {
      this.#output.done('not copied', 'mend it first, so that nothing is missing from the copy');
      return;
    }
    const copy = path.join(path.resolve(target), folderOf(name));
    await copyToPouch(folder, copy, (entries) =>
      this.#progress.show(`${name}: ${entries.toLocaleString('en')} entries copied`),
    );
    this.#output.done('copied', copy);
  }
}
