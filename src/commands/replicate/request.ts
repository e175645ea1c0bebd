import { readFileSync } from 'node:fs';
import { exitCodes, StartError } from '../../config/exit.js';
import { configSchema } from '../../config/schema.js';
import { InvalidReplication } from '../../replicator/invalid.js';
import { parseRequest, type ReplicationRequest } from '../../replicator/request.js';
import type { ReplicateCommand } from './command.js';
import { isDump, type Place, parsePlace, wrong } from './places.js';

/** A command that was understood. */
export interface ParsedCommand {
  readonly source: Place;
  readonly target: Place;
  /** Its sides count where they are URLs. */
  readonly request: ReplicationRequest;
}

const DEFAULTS = configSchema.shape.replication.parse({});

/** @throws StartError */
export function parseCommand(command: ReplicateCommand): ParsedCommand {
  const source = parsePlace(command.source);
  const target = parsePlace(command.target);
  requireSense(command, source, target);
  const { sourcePasswordFile, targetPasswordFile, env } = command;
  const members = {
    ...membersOf(command),
    source: endpoint(source, 'source', sourcePasswordFile, env.CAUSEWAY_SOURCE_PASSWORD),
    target: endpoint(target, 'target', targetPasswordFile, env.CAUSEWAY_TARGET_PASSWORD),
  };
  try {
    const request = parseRequest(members, DEFAULTS, (name) => ({
      url: name,
      headers: {},
      user: null,
      database: name,
    }));
    return { source, target, request };
  } catch (error) {
    if (error instanceof InvalidReplication) throw wrong(error.answer.reason);
    throw error;
  }
}

/** Some of what can be asked of databases makes no sense for files. */
function requireSense(command: ReplicateCommand, source: Place, target: Place): void {
  const { continuous, filter, since, winningRevsOnly } = command;
  if (continuous && (isDump(source) || isDump(target))) throw wrong('--continuous goes with databases only');
  if (!isDump(source)) return;
  if (filter !== undefined && filter !== '_design')
    throw wrong('a file has no functions for --filter; --doc-id and --selector can be used');
  if (since !== undefined) throw wrong('--since goes with databases only');
  if (winningRevsOnly) throw wrong('--winning-revs-only is for the copy that makes the file');
}

function membersOf(command: ReplicateCommand): Readonly<Record<string, unknown>> {
  const { docIds, filter, since, selector, queryParams } = command;
  return {
    create_target: command.createTarget,
    continuous: command.continuous,
    winning_revs_only: command.winningRevsOnly,
    use_checkpoints: command.checkpoints,
    ...(docIds.length > 0 && { doc_ids: docIds.map(encodeURIComponent) }),
    ...(filter !== undefined && { filter }),
    ...(since !== undefined && { since_seq: since }),
    ...(selector !== undefined && { selector: parseJson('--selector', selector) }),
    ...(queryParams !== undefined && { query_params: parseJson('--query-params', queryParams) }),
  };
}

function parseJson(option: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw wrong(`${option} has to be a JSON object`);
  }
}

/** A side as a request to `_replicate` names it. */
function endpoint(
  place: Place,
  side: 'source' | 'target',
  passwordFile: string | undefined,
  passwordVariable: string | undefined,
): unknown {
  if (place.kind !== 'url') {
    if (passwordFile !== undefined) throw wrong(`--${side}-password-file is for a ${side} that is a URL`);
    return side;
  }
  const url = URL.canParse(place.url) ? new URL(place.url) : undefined;
  if (url === undefined) throw wrong(`the ${side} is no URL that makes sense`);
  if (url.password !== '') return place.url;
  const password = passwordFile === undefined ? passwordVariable : readPassword(passwordFile);
  if (password === undefined) return place.url;
  if (url.username === '') throw wrong(`there is a password for the ${side}: its URL has to name the user`);
  const username = decoded(url.username);
  if (username === undefined) throw wrong(`the name of the user in the URL of the ${side} makes no sense`);
  url.username = '';
  return { url: url.href, auth: { basic: { username, password } } };
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** Without the end of the line that editors leave. */
function readPassword(file: string): string {
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '');
  } catch (error) {
    throw new StartError([`the password cannot be read: ${(error as Error).message}`], exitCodes.noInput, {
      cause: error,
    });
  }
}
