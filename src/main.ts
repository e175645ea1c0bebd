import { Command, CommanderError, Option } from 'commander';
import { verify, type VerifyCommand } from './commands/verify.js';
import { exitCodes, StartError } from './config/exit.js';
import { type KeyKind, keys } from './config/keys.js';
import { type ConfigInput, type LoadedConfig, loadConfig, locateData } from './config/load.js';
import { showConfig } from './config/show.js';
import { createGateway, type Gateway } from './gateway.js';
import { createLogger } from './observe/log.js';
import { version } from './version.js';

type Flags = Record<string, string | string[] | boolean | undefined>;

const EXIT_CODES = `
Exit codes: 0 stopped as asked, or nothing found; ${exitCodes.findings} verify found problems; ${exitCodes.usage} wrong command line;
${exitCodes.noInput} there is nothing to read; ${exitCodes.config} bad configuration;
${exitCodes.unavailable} the port is in use; ${exitCodes.locked} the data directory is in use; ${exitCodes.cannotWrite} it cannot be written;
${exitCodes.dataFormat} it is of a newer format or damaged; ${exitCodes.internal} a failure; 130, 143 ended by a second SIGINT, SIGTERM.`;

/** Runs the program; the arguments are those after its name. */
export async function main(args: readonly string[]): Promise<void> {
  try {
    await program().parseAsync(args, { from: 'user' });
  } catch (error) {
    process.exitCode = report(error);
  }
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
      process.exitCode = await verify(verifyCommand(flags));
    });
  return causeway;
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
  for (const warning of warnings) say(warning);
  process.stdout.write(showConfig(effective, { docs }));
}

async function serve(loaded: LoadedConfig): Promise<void> {
  const log = createLogger(loaded.config.log);
  for (const warning of loaded.warnings) log.warn(warning);
  // Listened to from the start: a signal during a long start stops the gateway as soon as it is up.
  const stop = firstSignal();
  const gateway = await createGateway(loaded, { log });
  announce(gateway);
  log.info({ url: gateway.url, data: gateway.data, passwordFile: gateway.passwordFile }, 'ready');
  const signal = await stop;
  log.info({ signal }, 'stopping');
  await gateway.close();
  log.info('stopped');
}

function announce({ url, data, passwordFile }: Gateway): void {
  const password = passwordFile === undefined ? '' : `; the password of admin is in ${passwordFile}`;
  process.stdout.write(`Causeway is ready at ${url}; its data is in ${data}${password}\n`);
}

/** npm passes on a Ctrl-C that the terminal has sent to this process too; that is one signal, not two. */
const SAME_SIGINT_MS = 100;

/** The first SIGTERM or SIGINT; those after it end the process at once. */
function firstSignal(): Promise<string> {
  return new Promise((resolve) => {
    let first: { signal: string; time: number } | undefined;
    const handle = (signal: 'SIGTERM' | 'SIGINT', exitCode: number): void => {
      const time = performance.now();
      const echo = signal === 'SIGINT' && first?.signal === signal && time - first.time < SAME_SIGINT_MS;
      if (first && !echo) process.exit(exitCode);
      first ??= { signal, time };
      resolve(signal);
    };
    process.on('SIGTERM', () => handle('SIGTERM', 143));
    process.on('SIGINT', () => handle('SIGINT', 130));
  });
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
