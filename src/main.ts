import { setFlagsFromString } from 'node:v8';
import { Argument, Command, CommanderError, Option } from 'commander';
import type { ConflictsCommand } from './commands/conflicts/command.js';
import { CONFLICT_ACTIONS, conflicts } from './commands/conflicts/conflicts.js';
import type { ReplicateCommand } from './commands/replicate/command.js';
import { mirror, MIRROR_ACTIONS, type MirrorCommand } from './commands/mirror.js';
import type { ServerAccess } from './commands/server.js';
import { endWithReader, outliveReader } from './commands/reader.js';
import { firstSignal } from './commands/signals.js';
import { status, type StatusCommand } from './commands/status.js';
import type { VerifyCommand } from './commands/verify.js';
import { exitCodes, StartError } from './config/exit.js';
import { type KeyKind, keys } from './config/keys.js';
import { type ConfigInput, type LoadedConfig, loadConfig, locateData } from './config/load.js';
import { showConfig } from './config/show.js';
import type { Gateway } from './gateway.js';
import { createLogger, type Logger } from './observe/log.js';
import { Rules } from './upstream/rules.js';
import { version } from './version.js';

const SIDES = `
Each side is one of
  https://name@host/db  a database of a server; its password comes from a file, from CAUSEWAY_SOURCE_PASSWORD or
                        CAUSEWAY_TARGET_PASSWORD, or from the URL
  DIR#NAME              a database of a data directory that no server uses, such as ./data#orders
  FILE                  lines of JSON, which this command writes and reads; - for the standard output or input

All leaves are copied, with their ancestors and attachments, deleted ones too. A copy that was interrupted goes on where
it stopped when the same command is run again. What the target refuses is listed.`;

const ACTIONS = `
Actions
  list, show            all mirrors, or all that is known of one
  pause, resume         nothing flows until it is resumed
  sync                  everything that waits flows now, whatever it waits for
  resync                both sides are compared as a whole; of a mirror that differs from the upstream they are merged
  evict                 drop what is here; it is mirrored anew when somebody asks for it
  detach                keep what is here as a local database
  push-all, pull-anew   where the upstream database is missing or another one: have it take what is here, or keep that aside
                        and mirror what is there`;

const CONFLICTS = `
Actions
  list DB               documents in conflict
  show DB ID            its revision tree, and what each leaf changed
  preview DB [ID]       what --function would make of it, or of all; nothing is written
  resolve DB ID         with --leaf, --body or --delete
  journal DB [N]        what was merged and resolved; with N what went in and what came out
  undo DB N             put back the leaves of entry N of the journal, as new revisions that replicate`;

type Flags = Record<string, string | string[] | boolean | undefined>;

const EXIT_CODES = `
Exit codes: 0 done, or stopped as asked; ${exitCodes.findings} verify found problems, replicate could not copy everything;
${exitCodes.usage} wrong command line; ${exitCodes.noInput} there is nothing to read; ${exitCodes.denied} no right to read or write it;
${exitCodes.config} bad configuration; ${exitCodes.unavailable} the port is in use, or a server cannot be reached;
${exitCodes.locked} the data directory, or the file, is in use; ${exitCodes.cannotWrite} it, or the target, cannot be written;
${exitCodes.dataFormat} it, or a file, is of a newer format or damaged; ${exitCodes.internal} a failure; 130, 143 ended by SIGINT, SIGTERM before the end;
141 nobody reads its output any more.`;

/**
 * By itself V8 lets the old garbage of a busy server grow to several times what is in use. At twice that, a view's first
 * build needs 260 MB instead of 345 and `_bulk_docs` takes no more processor time; at one and a half times it takes 28 %
 * more.
 */
const GARBAGE = '--heap-growing-percent=100';

/**
 * V8 makes objects among the old ones whose like once grew old, as those of requests in flight do when there are many. Such
 * an object is dead soon but not collected as soon, and keeps alive whatever it refers to: by and by all that a request
 * needed. Without this a request that is passed on takes a quarter less processor time, and ten times fewer full
 * collections.
 */
const NOTHING_BORN_OLD = '--no-allocation-site-pretenuring';

/** Runs the program; the arguments are those after its name. */
export async function main(args: readonly string[]): Promise<void> {
  setFlagsFromString(GARBAGE);
  setFlagsFromString(NOTHING_BORN_OLD);
  endWithReader();
  endAtOnce();
  try {
    await program().parseAsync(args, { from: 'user' });
  } catch (error) {
    process.exitCode = report(error);
  }
}

/**
 * Ends the process when nothing is left to do. Node would then close what it has itself, and waits for it at times, for
 * ever and at full speed, where a process that it talked to was killed.
 */
function endAtOnce(): void {
  process.once('beforeExit', () => process.exit());
}

function program(): Command {
  const causeway = new Command('causeway')
    .description("A gateway that speaks CouchDB's HTTP API and replication protocol.")
    .version(version)
    .exitOverride()
    .addHelpText('after', EXIT_CODES);
  withConfig(causeway.command('serve').description('run the gateway'))
    .addHelpText('after', EXIT_CODES)
    .action((flags: Flags) => serve(load(flags)));
  withConfig(causeway.command('config').description('print the effective configuration, secrets masked'))
    .option('--docs', 'with a sentence for each key')
    .action((flags: Flags) => config(load(flags), flags.docs === true));
  causeway
    .command('verify')
    .description('check a data directory that no server uses, and say how to mend what is wrong')
    .option('--config <file>', 'a YAML file (environment: CAUSEWAY_CONFIG)')
    .option('--data <folder>', 'the data directory (environment: CAUSEWAY_DATA; default: ./data)')
    .option('--database <name>', 'look at this database alone; may be repeated', collect)
    .option('--repair', 'mend what can be made anew from the documents; nothing is written without it')
    .option(
      '--to-pouchdb <folder>',
      'write plain PouchDB copies of what is found to be whole into an empty folder',
    )
    .option('--json', 'print one JSON object a line')
    .addHelpText('after', EXIT_CODES)
    .action(async (flags: Flags) => {
      const { verify } = await import('./commands/verify.js');
      process.exitCode = await verify(verifyCommand(flags));
    });
  causeway
    .command('replicate')
    .description('copy a database, on a server, in a data directory or in a file, to another one')
    .argument('<source>', 'a URL, DIR#NAME, or a file')
    .argument('<target>', 'the same')
    .option('--create-target', 'make the target database where there is none')
    .option('--continuous', 'go on with changes as they come, until SIGINT; between databases')
    .option('--doc-id <id>', 'copy this document alone; may be repeated', collect)
    .option('--selector <json>', 'copy what fits this Mango selector')
    .option('--filter <design/name>', 'copy what this filter function of the source passes, or _design')
    .option('--query-params <json>', 'what the filter function gets')
    .option('--winning-revs-only', 'leave conflicts out')
    .option('--since <seq>', 'begin behind this sequence of the source, whatever checkpoints say')
    .option('--no-checkpoints', 'neither look for checkpoints nor write any: begins anew each time')
    .option('--source-password-file <file>', 'the password of the user whom the URL names')
    .option('--target-password-file <file>', 'the same for the target')
    .option('--ca-file <file>', 'certificates (PEM) that are trusted instead of those of the system')
    .option('--config <file>', 'the configuration of a data directory (environment: CAUSEWAY_CONFIG)')
    .option('--json', 'print one JSON object a line')
    .addHelpText('after', SIDES)
    .addHelpText('after', EXIT_CODES)
    .action(async (source: string, target: string, flags: Flags) => {
      const { replicate } = await import('./commands/replicate/replicate.js');
      process.exitCode = await replicate(replicateCommand(source, target, flags));
    });
  withServer(causeway.command('status'))
    .description('ask a running server how it is, and how its upstream and its mirrors are')
    .action((flags: Flags) => status(statusCommand(flags)));
  withServer(causeway.command('mirror'))
    .description('show mirrors of a running server, or do something with one of them')
    .addArgument(new Argument('<action>', 'what to do').choices(MIRROR_ACTIONS))
    .argument('[database]', 'whose mirror')
    .option('--force', 'evict it though something has not gone to the upstream: that is lost')
    .option('--state <state>', 'list those in this state alone')
    .addHelpText('after', ACTIONS)
    .action((action: string, database: string | undefined, flags: Flags) =>
      mirror(mirrorCommand(action, database, flags)),
    );
  withServer(causeway.command('conflicts'))
    .description(
      'show conflicts of a database of a running server, resolve them, or undo how they were merged',
    )
    .addArgument(new Argument('<action>', 'what to do').choices(CONFLICT_ACTIONS))
    .argument('<database>', 'where')
    .argument('[about]', 'the id of a document, or the number of an entry')
    .option('--state <state>', 'list those in this state alone, such as deferred')
    .option('--leaf <rev>', 'resolve it with this leaf')
    .option('--body <file>', 'resolve it with the document in this file; - for the standard input')
    .option('--delete', 'resolve it by deleting the document')
    .option(
      '--function <name>',
      'preview with this one: built in, cart/merge of _design/cart, or a file .mjs',
    )
    .option('--if-leaf <rev>', 'only if it has this leaf and no other; may be repeated', collect)
    .addHelpText('after', CONFLICTS)
    .action((action: string, database: string, about: string | undefined, flags: Flags) =>
      conflicts(conflictsCommand(action, database, about, flags)),
    );
  return causeway;
}

/** Adds the flags of commands that ask a running server. */
function withServer(command: Command): Command {
  return command
    .option('--url <url>', 'where it is (default: http://127.0.0.1:5984)')
    .option('--user <name>', 'an admin; to be shown things, the role _metrics is enough (default: admin)')
    .option('--password-file <file>', 'their password (environment: CAUSEWAY_PASSWORD)')
    .option('--data <folder>', 'the data directory, where the first admin has it (default: ./data)')
    .option('--json', 'print what the server answers')
    .addHelpText('after', EXIT_CODES);
}

/** How the help calls the values of some kinds of keys. */
const VALUES: Partial<Record<KeyKind, string>> = {
  integer: 'number',
  number: 'number',
  boolean: 'true|false',
};

/** Adds the flags that every command with a configuration takes. */
function withConfig(command: Command): Command {
  command.option('--config <file>', 'a YAML file (environment: CAUSEWAY_CONFIG)');
  for (const key of keys) {
    if (key.flag === undefined) continue;
    const value = VALUES[key.kind] ?? key.path.at(-1);
    const shown = key.default === undefined ? '' : ` (default: ${String(key.default)})`;
    const option = new Option(`${key.flag} <${value ?? 'value'}>`, `${key.doc}${shown}`);
    command.addOption(option.helpGroup(key.path.length > 1 ? `Options (${key.path[0] ?? ''}):` : 'Options:'));
  }
  return command.addOption(
    new Option('--cors <origin>', 'an origin whose pages may use this server, or *; may be repeated')
      .argParser(collect)
      .helpGroup('Options (cors):'),
  );
}

/** Of an option that may be repeated. */
const collect = (value: string, before: string[] = []): string[] => [...before, value];

function verifyCommand(flags: Flags): VerifyCommand {
  const { database, repair, toPouchdb, json } = flags;
  return {
    data: locateData(inputOf(flags)),
    databases: Array.isArray(database) ? database : [],
    repair: repair === true,
    toPouch: typeof toPouchdb === 'string' ? toPouchdb : undefined,
    json: json === true,
  };
}

function replicateCommand(source: string, target: string, flags: Flags): ReplicateCommand {
  const text = (name: string): string | undefined => textOf(flags[name]);
  return {
    source,
    target,
    docIds: Array.isArray(flags.docId) ? flags.docId : [],
    selector: text('selector'),
    filter: text('filter'),
    queryParams: text('queryParams'),
    since: text('since'),
    winningRevsOnly: flags.winningRevsOnly === true,
    createTarget: flags.createTarget === true,
    continuous: flags.continuous === true,
    checkpoints: flags.checkpoints !== false,
    json: flags.json === true,
    caFile: text('caFile'),
    sourcePasswordFile: text('sourcePasswordFile'),
    targetPasswordFile: text('targetPasswordFile'),
    config: text('config'),
    env: process.env,
  };
}

const textOf = (value: Flags[string]): string | undefined => (typeof value === 'string' ? value : undefined);

const serverAccess = ({ url, user, passwordFile, data }: Flags): ServerAccess => ({
  url: textOf(url) ?? 'http://127.0.0.1:5984',
  user: textOf(user),
  passwordFile: textOf(passwordFile),
  data: textOf(data) ?? './data',
  env: process.env,
});

const statusCommand = (flags: Flags): StatusCommand => ({
  ...serverAccess(flags),
  json: flags.json === true,
});

const mirrorCommand = (action: string, database: string | undefined, flags: Flags): MirrorCommand => ({
  ...statusCommand(flags),
  action,
  database,
  force: flags.force === true,
  state: textOf(flags.state),
});

const conflictsCommand = (
  action: string,
  database: string,
  about: string | undefined,
  flags: Flags,
): ConflictsCommand => ({
  ...statusCommand(flags),
  action,
  database,
  about,
  state: textOf(flags.state),
  leaf: textOf(flags.leaf),
  functionName: textOf(flags.function),
  body: textOf(flags.body),
  delete: flags.delete === true,
  ifLeaves: Array.isArray(flags.ifLeaf) ? flags.ifLeaf : [],
});

const load = (flags: Flags): LoadedConfig => loadConfig(inputOf(flags));

function inputOf(flags: Flags): ConfigInput {
  const given = new Map<string, string | string[]>();
  for (const key of keys) {
    const attribute = key.flag === undefined ? undefined : new Option(key.flag).attributeName();
    const value = key.name === 'cors.origins' ? flags.cors : flags[attribute ?? ''];
    if (typeof value === 'string' || Array.isArray(value)) given.set(key.name, value);
  }
  const file = flags.config;
  return { file: typeof file === 'string' ? file : undefined, env: process.env, flags: given };
}

function config({ config: effective, warnings }: LoadedConfig, docs: boolean): void {
  // Says what is wrong with them, as a start would.
  Rules.of(effective);
  for (const warning of warnings) say(warning);
  process.stdout.write(showConfig(effective, { docs }));
}

async function serve(loaded: LoadedConfig): Promise<void> {
  outliveReader();
  const log = createLogger(loaded.config.log);
  for (const warning of loaded.warnings) log.warn(warning);
  // Listened to from the start: a signal during a long start stops the gateway as soon as it is up.
  const stop = firstSignal();
  const { createGateway } = await import('./gateway.js');
  const gateway = await createGateway(loaded, { log });
  announce(gateway);
  log.info({ url: gateway.url, data: gateway.data, passwordFile: gateway.passwordFile }, 'ready');
  const reload = (): void => void reloadConfig(gateway, log);
  process.on('SIGHUP', reload);
  const signal = await stop;
  process.off('SIGHUP', reload);
  log.info({ signal }, 'stopping');
  await gateway.close();
  log.info('stopped');
}

async function reloadConfig(gateway: Gateway, log: Logger): Promise<void> {
  try {
    await gateway.reload();
    log.info('the configuration was read again');
  } catch (error) {
    const lines = error instanceof StartError ? error.lines : [String(error)];
    for (const line of lines) log.error(line);
    log.error('the configuration stays as it was');
  }
}

function announce({ url, data, passwordFile }: Gateway): void {
  const password = passwordFile === undefined ? '' : `; the password of admin is in ${passwordFile}`;
  process.stdout.write(`Causeway is ready at ${url}; its data is in ${data}${password}\n`);
}

/** Says on stderr why the program ends, and returns its exit code. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitCodes.usage;
  if (error instanceof StartError) {
    for (const line of error.lines) say(line);
    return error.exitCode;
  }
  say(error instanceof Error ? (error.stack ?? error.message) : String(error));
  return exitCodes.internal;
}

function say(text: string): void {
  process.stderr.write(`causeway: ${text}\n`);
}
