import { readFile } from 'node:fs/promises';
import path from 'node:path';

const file = path.resolve(import.meta.dirname, '../../../README.md');

/** The address that the README's snippets talk to. */
export const README_ADDRESS = 'http://127.0.0.1:5984';

/** The fenced blocks of a section of the README that name a file behind their language. */
export async function readmeFiles(section: string): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const [, , name = '', content = ''] of (await textOf(section)).matchAll(
    /^```(\w+) (\S+)\n(.*?)^```$/gms,
  ))
    files.set(name, content);
  return files;
}

/** The packages that the section's commands install. */
export async function readmePackages(section: string): Promise<string[]> {
  const [, ...commands] = (await textOf(section)).split(/\bnpm install\b/);
  return commands.flatMap((command) => {
    const [line = ''] = command.split(/\n|&&/);
    return line.split(' ').filter((word) => word !== '' && !word.startsWith('-'));
  });
}

async function textOf(section: string): Promise<string> {
  const [, ...sections] = (await readFile(file, 'utf8')).split(/^## /m);
  const found = sections.find((text) => text.startsWith(`${section}\n`));
  if (found === undefined) throw new Error(`README.md has no section "${section}"`);
  return found;
}
