import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { AUTH_DESIGN } from '../../auth/users/auth-design.js';
import { USERS } from '../../auth/users/ids.js';
import { Users } from '../../auth/users/users.js';
import type { UserContext } from '../../auth/usercontext.js';
import { openDataDirectory, serverFileState } from '../../config/datadir.js';
import { exitCodes, StartError } from '../../config/exit.js';
import { loadConfig } from '../../config/load.js';
import type { Config } from '../../config/schema.js';
import { QuickJsSandbox } from '../../design/sandbox.js';
import { ValidatedView } from '../../design/validation.js';
import { replicationFilter } from '../../http/replication-filter.js';
import { writeRules } from '../../http/replicator.js';
import { createLogger } from '../../observe/log.js';
import { Tasks } from '../../observe/tasks.js';
import type { LocalPeerOptions } from '../../replication/local/options.js';
import { LocalPeer } from '../../replication/local/peer.js';
import type { Peer } from '../../replication/peer.js';
import { Databases } from '../../store/databases.js';
import type { Database } from '../../store/types/database.js';

/** Whoever may read the files is an admin. */
const ADMIN: UserContext = { name: null, roles: ['_admin'] };

/** A database of a data directory, and by what it is known whatever the path to it. */
export interface OpenedDatabase {
  readonly peer: Peer;
  readonly identity: string;
}

/** Opens databases of data directories that no server uses. Must be closed. */
export class DataDirectories {
  readonly #opened = new Map<string, Promise<Opened>>();

  constructor(
    private readonly settings: { readonly config: string | undefined; readonly env: NodeJS.ProcessEnv },
  ) {}

  /** @param mayMake whether a directory is made where there is none. @throws StartError */
  async open(directory: string, name: string, mayMake: boolean): Promise<OpenedDatabase> {
    const root = path.resolve(directory);
    const opening = this.#opened.get(root) ?? this.#open(root, mayMake);
    this.#opened.set(root, opening);
    const { uuid, databases, sandbox, users, config } = await opening;
    // As requests see it: no password is stored as it was sent.
    const see = (db: Database): Database =>
      db.name === USERS
        ? users.view(new ValidatedView(db, sandbox, ADMIN, AUTH_DESIGN), ADMIN, () => false)
        : new ValidatedView(db, sandbox, ADMIN);
    const options: LocalPeerOptions = {
      ...writeRules(config),
      name: `${directory}#${name}`,
      access: {
        use: (work) => databases.use(name, (db) => work(see(db))),
        create: async () => {
          await databases.create(name);
        },
      },
      filter: (db, filter, parameters) => replicationFilter(sandbox)(db, ADMIN, filter, parameters),
    };
    return { peer: new LocalPeer(options), identity: `causeway:${uuid}/${name}` };
  }

  async close(): Promise<void> {
    for (const opening of this.#opened.values()) {
      const opened = await opening.catch(() => undefined);
      await opened?.close();
    }
  }

  async #open(root: string, mayMake: boolean): Promise<Opened> {
    await requireDirectory(root, mayMake);
    const { config: file, env } = this.settings;
    const { config } = loadConfig({ file, env, flags: new Map([['data', root]]) });
    const directory = await openDataDirectory(root).catch(hintAtUrl);
    const log = createLogger({ level: 'warn' });
    const compaction = { ...config.compaction, automatic: false };
    const databases = await Databases.open(
      directory.path,
      { ...config.store, maxOpen: 1 },
      {
        compaction,
        tasks: new Tasks(),
        log,
      },
    ).catch(async (error: unknown) => {
      await directory.close();
      throw error;
    });
    const sandbox = new QuickJsSandbox(config.functions, log);
    return {
      uuid: directory.uuid,
      databases,
      sandbox,
      users: new Users(databases, config),
      config,
      close: async () => {
        await sandbox.close();
        await databases.close();
        await directory.close();
      },
    };
  }
}

interface Opened {
  readonly uuid: string;
  readonly databases: Databases;
  readonly sandbox: QuickJsSandbox;
  readonly users: Users;
  readonly config: Config;
  close(): Promise<void>;
}

/** A folder of something else is not made a data directory. @throws StartError */
async function requireDirectory(root: string, mayMake: boolean): Promise<void> {
  if (serverFileState(root) !== 'missing') return;
  const entries = await readdir(root).catch(() => []);
  if (mayMake && entries.length === 0) return;
  throw new StartError([`there is no data directory at ${root}`], exitCodes.noInput);
}

function hintAtUrl(error: unknown): never {
  if (!(error instanceof StartError) || error.exitCode !== exitCodes.locked) throw error;
  const hint = 'where that is a server, name the database by its URL, such as http://127.0.0.1:5984/NAME';
  throw new StartError([...error.lines, hint], error.exitCode, { cause: error });
}
