import { onTestFinished } from 'vitest';
import type { MergeConfig } from '../../../src/config/merge-schema.js';
import { ConflictEngine, type EngineOptions } from '../../../src/conflicts/engine.js';
import { MergeRule } from '../../../src/conflicts/rules.js';
import { startReplication } from '../../../src/replication/run.js';
import type { Databases, StoreOptions } from '../../../src/store/databases.js';
import { HASTY, localPeer } from '../../support/peers.js';
import { IDLE, newFolder, openDatabases, QUICK } from '../../support/store.js';

const DAY = 86_400_000;

/** Databases on disk and what merges in them. */
export interface Gateway {
  readonly databases: Databases;
  readonly engine: ConflictEngine;
}

export interface GatewayOptions extends Partial<EngineOptions> {
  readonly folder?: string;
  readonly store?: Partial<StoreOptions>;
}

export const NAME = 'db';

export async function startGateway(
  merge: MergeConfig | (() => MergeRule | undefined),
  { folder, store, ...options }: GatewayOptions = {},
): Promise<Gateway> {
  const databases = await openDatabases(folder ?? (await newFolder()), { ...QUICK, ...store });
  await databases.create(NAME);
  const rule = typeof merge === 'function' ? merge : () => only;
  const only = typeof merge === 'function' ? undefined : MergeRule.of(merge);
  const engine = new ConflictEngine({
    databases,
    ruleOf: rule,
    limits: { timeout: 5000, patience: 60_000, maxDocumentSize: 8_000_000 },
    journal: { minAge: DAY, maxAge: 2 * DAY, maxBytes: 1 << 30 },
    log: IDLE.log,
    ...options,
  });
  // Runs before the databases are closed.
  onTestFinished(() => engine.close());
  engine.start();
  return { databases, engine };
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
