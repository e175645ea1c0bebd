import { existsSync } from 'node:fs';
import path from 'node:path';
import { exitCodes, StartError } from '../../config/exit.js';
import { ForeignError } from '../../conflicts/sources/cage.js';
import { ModuleProcess } from '../../conflicts/sources/module-process.js';
import { printable } from '../printable.js';
import { askServer, type ServerAccess } from '../server.js';
import { type ConflictsCommand, placeOf } from './command.js';

/** Documents of a page. */
const PAGE = 100;
/** Milliseconds for one document: the default of `conflicts.timeout`. */
const TIMEOUT = 1000;

/** What a merge function makes of a document; JSON text. */
type Try = (place: string) => Promise<string>;

/**
 * Shows what a merge function would make of one document in conflict, or of all. Nothing is written, and the text of a module
 * stays here: the server sends conflicts, and is told what was made of them.
 * @throws StartError
 */
export async function preview(command: ConflictsCommand): Promise<void> {
  const { database, about, functionName, json, ...access } = command;
  if (functionName === undefined)
    throw new StartError(['by what? --function names it, or a file'], exitCodes.usage);
  const base = `${placeOf(database)}/conflicts`;
  const isFile = /\.m?js$/.test(functionName);
  const module = isFile ? moduleAt(functionName) : undefined;
  const ask = module === undefined ? atServer(access, bodyOf(functionName)) : here(access, module);
  try {
    for await (const id of about === undefined ? idsOf(access, base) : [about]) {
      const text = await ask(`${base}/${encodeURIComponent(id)}/preview`);
      process.stdout.write(json ? `{"id":${JSON.stringify(id)},${text.slice(1)}\n` : lineOf(id, text));
    }
  } finally {
    module?.close();
  }
}

/** `cart/merge` is `merges.merge` of `_design/cart`; others are built in. */
const bodyOf = (name: string): string =>
  name.includes('/') ? JSON.stringify({ design: name }) : JSON.stringify({ function: name });

/** @throws StartError where there is no such file */
function moduleAt(name: string): ModuleProcess {
  const file = path.resolve(name);
  if (!existsSync(file)) throw new StartError([`${name} is not there`], exitCodes.noInput);
  return new ModuleProcess({
    file,
    limits: { timeout: TIMEOUT },
    onLog: (line) => process.stderr.write(`${printable(line)}\n`),
  });
}

const atServer =
  (access: ServerAccess, body: string): Try =>
  (place) =>
    askServer(access, 'POST', place, body);

const here =
  (access: ServerAccess, module: ModuleProcess): Try =>
  async (place) => {
    try {
      const resolution = await module.ask(await askServer(access, 'GET', place));
      return await askServer(access, 'POST', place, `{"resolution":${resolution}}`);
    } catch (error) {
      // No function would be asked: the server says why.
      if (error instanceof StartError && error.exitCode === exitCodes.findings)
        return askServer(access, 'POST', place, '{"resolution":null}');
      if (!(error instanceof ForeignError)) throw error;
      return JSON.stringify({ outcome: 'failed', reason: error.message });
    }
  };

async function* idsOf(access: ServerAccess, base: string): AsyncGenerator<string> {
  let start: string | null = '0';
  while (start !== null) {
    const place = `${base}?limit=${PAGE}&start=${encodeURIComponent(start)}`;
    const page = JSON.parse(await askServer(access, 'GET', place)) as {
      readonly next: string | null;
      readonly conflicts: readonly { readonly id: string }[];
    };
    for (const { id } of page.conflicts) yield id;
    start = page.next;
  }
}

function lineOf(id: string, text: string): string {
  const { outcome, reason, paths, doc } = JSON.parse(text) as {
    readonly outcome: string;
    readonly reason?: string;
    readonly paths?: readonly string[];
    readonly doc?: object;
  };
  const what = doc === undefined ? [reason ?? '', ...(paths ?? [])].join(' ') : JSON.stringify(doc);
  return `${printable(id)} ${outcome} ${printable(what)}\n`;
}
