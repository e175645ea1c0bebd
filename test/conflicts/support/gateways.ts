import { onTestFinished } from 'vitest';
import type { MergeConfig } from '../../../src/config/merge-schema.js';
import { ConflictEngine, type EngineOptions } from '../../../src/conflicts/engine.js';
import { type ConfiguredRule, MergeRule } from '../../../src/conflicts/rules.js';
import {
  MergeFunctions,
  type MergeFunctionsOptions,
} from '../../../src/conflicts/sources/merge-functions.js';
import { QuickJsSandbox } from '../../../src/design/sandbox.js';
import { startReplication } from '../../../src/replication/run.js';
import type { Databases, StoreOptions } from '../../../src/store/databases.js';
import { builtIns } from '../../support/merges.js';
import { HASTY, localPeer } from '../../support/peers.js';
import { IDLE, newFolder, openDatabases, QUICK } from '../../support/store.js';

const DAY = 86_400_000;

/** Databases on disk and what merges in them. */
export interface Gateway {
  readonly databases: Databases;
  readonly engine: ConflictEngine;
  readonly mergeFunctions: MergeFunctions;
}

export interface GatewayOptions extends Partial<EngineOptions> {
  readonly limits?: EngineOptions['limits'] & MergeFunctionsOptions['limits'];
  readonly folder?: string;
  readonly store?: Partial<StoreOptions>;
}

const MiB = 1 << 20;
const FUNCTIONS = { timeout: 1000, memory: 16 * MiB, maxOutput: MiB, maxKept: 8, slowThreads: 2 };

export const NAME = 'db';

export async function startGateway(
  merge: MergeConfig | (() => ConfiguredRule | undefined),
  { folder, store, ...options }: GatewayOptions = {},
): Promise<Gateway> {
  const databases = await openDatabases(folder ?? (await newFolder()), { ...QUICK, ...store });
  await databases.create(NAME);
  const only = typeof merge === 'function' ? undefined : MergeRule.of(merge);
  const rule = typeof merge === 'function' ? merge : () => only;
  const { log } = IDLE;
  const limits = { timeout: 5000, patience: 60_000, maxDocumentSize: 8_000_000 };
  const sandbox = new QuickJsSandbox(FUNCTIONS, log);
  const mergeFunctions = new MergeFunctions({
    builtIns,
    sandbox,
    limits: options.limits ?? limits,
    onChange: () => engine.reconfigure(),
    log,
  });
  const engine: ConflictEngine = new ConflictEngine({
    databases,
    ruleOf: (db) => mergeFunctions.ruleIn(db, rule()),
    limits,
    journal: { minAge: DAY, maxAge: 2 * DAY, maxBytes: 1 << 30 },
    log,
    ...options,
  });
  // Runs before the databases are closed.
  onTestFinished(async () => {
    const closed = engine.close();
    mergeFunctions.close();
    await sandbox.close();
    await closed;
  });
  engine.start();
  return { databases, engine, mergeFunctions };
}

/** Brings what one gateway has to another. */
export async function sync(source: Gateway, target: Gateway, id = 'sync'): Promise<void> {
  await startReplication({
    id,
    source: localPeer(source.databases, NAME),
    target: localPeer(target.databases, NAME),
    options: {},
    tuning: HASTY,
  }).done;
}
