import { readFileSync } from 'node:fs';
import { Command, CommanderError, Option } from 'commander';
import { exitCodes } from '../../src/config/exit.js';
import { requireProxySecret } from './proxy-secret.js';
import { Refusal, serverAt } from './server.js';
import { LEVELS, type Level, setUp } from './setup.js';

interface Options {
  readonly level: Level;
  readonly account: string;
  readonly database: readonly string[];
  readonly role: string;
  readonly passwordFile: string | undefined;
  readonly accountPasswordFile: string | undefined;
  readonly proxySecretFile: string | undefined;
}

/** Sets an upstream up; returns the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  try {
    await run(args);
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitCodes.usage;
    process.stderr.write(`setup-upstream: ${error instanceof Error ? error.message : String(error)}\n`);
    return error instanceof Refusal ? exitCodes.denied : exitCodes.unavailable;
  }
}

async function run(args: readonly string[]): Promise<void> {
  const { url, options } = parse(args);
  const { account: name, level, database: databases, role } = options;
  const secret = options.proxySecretFile && lineOf(options.proxySecretFile);
  const account = { name, password: secretFrom(options.accountPasswordFile, 'CAUSEWAY_UPSTREAM_PASSWORD') };
  const password = secretFrom(options.passwordFile, 'COUCHDB_PASSWORD');
  const place = new URL(url);
  const admin = { name: decodeURIComponent(place.username), password };
  place.username = '';
  await setUp({ url: place.href, admin, account, level, databases, role, say });
  if (secret !== undefined) await requireProxySecret(serverAt(place.href, admin), place.href, secret);
  say('\nFor the configuration of the gateway:\n');
  say(`upstream:\n  url: ${place.href}\n  username: ${JSON.stringify(name)}`);
  say(`  passwordFile: ${options.accountPasswordFile ?? '# a file with its password'}`);
  if (options.proxySecretFile !== undefined) say(`  proxySecretFile: ${options.proxySecretFile}`);
}

function parse(args: readonly string[]): { url: string; options: Options } {
  const command = new Command('scripts/setup-upstream')
    .exitOverride()
    .description(
      'Makes a CouchDB ready to be the upstream of a gateway: its account, the role and the security objects that it needs, and _users, _replicator and _global_changes. What is there already stays.',
    )
    .argument('<url>', 'the upstream with the name of an admin, and no password: http://admin@127.0.0.1:5984')
    .addOption(
      new Option('--level <level>', 'what the account may do')
        .choices(LEVELS)
        .default('member' satisfies Level),
    )
    .option('--account <name>', 'the account of the gateway', 'causeway')
    .option('--database <name...>', 'databases it is for, made where they are missing', [])
    .option('--role <name>', 'the role that lets it into them', 'causeway-gateway')
    .option('--password-file <file>', 'the password of the admin; COUCHDB_PASSWORD when left out')
    .option(
      '--account-password-file <file>',
      'the password of the account; CAUSEWAY_UPSTREAM_PASSWORD when left out',
    )
    .option(
      '--proxy-secret-file <file>',
      'check that the gateway may use this secret for upstream.proxySecretFile; the upstream must ask for it',
    );
  command.parse(args, { from: 'user' });
  const [url = ''] = command.args;
  if (!URL.canParse(url) || !/^https?:/.test(url))
    command.error(`${JSON.stringify(url)} is no URL of a server`);
  const { username, password } = new URL(url);
  if (username === '') command.error('the URL has to name an admin: http://admin@…');
  // Whoever sees the list of processes sees the command line.
  if (password !== '')
    command.error('a password in the URL can be seen by others: use --password-file or COUCHDB_PASSWORD');
  return { url, options: command.opts<Options>() };
}

function secretFrom(file: string | undefined, variable: string): string {
  const secret = file === undefined ? (process.env[variable] ?? '') : lineOf(file);
  if (secret === '') throw new Error(`there is no password: give a file, or ${variable}`);
  return secret;
}

const lineOf = (file: string): string => readFileSync(file, 'utf8').replace(/\r?\n$/, '');

const say = (line: string): void => void process.stdout.write(`${line}\n`);
