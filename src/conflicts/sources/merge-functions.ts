import type { Logger } from '../../observe/log.js';
import type { Sandbox } from '../../design/types.js';
import type { Database } from '../../store/types/database.js';
import { type Considered, mergedBy } from '../considering.js';
import type { BuiltIn } from '../functions/builtin.js';
import type { LoadedDocument } from '../loaded.js';
import type { ConfiguredRule, ForeignSource, Merge, MergeRule } from '../rules.js';
import type { BuiltInThread } from './builtin/thread.js';
import { type Cage, CageUnavailable } from './cage.js';
import { designCages } from './design-cage.js';
import { ForeignFunction } from './foreign-function.js';
import { ModuleProcess } from './module-process.js';
import { Modules } from './modules.js';

/** More functions are not remembered: those used least are tested again when they are used again. */
const MOST = 1000;

export interface MergeFunctionsOptions {
  /** Runs those that are built in. */
  readonly builtIns: Pick<BuiltInThread, 'consider'>;
  readonly sandbox: Sandbox;
  /** May change at any time. */
  readonly limits: { readonly timeout: number };
  /** Is called when a module has another text. */
  readonly onChange: () => void;
  readonly log: Logger;
}

/** A function as it was found. */
interface Found {
  readonly version: string;
  /** What it is a function of: of another database, another one. */
  readonly instance: string;
  readonly database: string | undefined;
  readonly foreign: ForeignFunction;
}

/** A function that is not used, and why. */
export interface Refusal {
  readonly function: string;
  /** Left out for a function of all databases. */
  readonly database?: string;
  readonly reason: string;
}

/** All merge functions, as they are at the moment. Must be closed. */
export class MergeFunctions {
  readonly #modules: Modules;
  /** The least recently used first. */
  readonly #found = new Map<string, Found>();

  constructor(private readonly options: MergeFunctionsOptions) {
    this.#modules = new Modules(options.onChange);
  }

  /** A rule with the functions that a database has now. */
  ruleIn(db: Database, rule: ConfiguredRule | undefined): MergeRule | undefined {
    return rule?.map((merge) => this.mergeIn(db, merge));
  }

  /** A function as a database has it now. */
  mergeIn(db: Database, merge: BuiltIn | ForeignSource): Merge {
    if (!('kind' in merge)) {
      const { version } = merge;
      return { version, consider: (document, mayMerge) => this.#consider(merge, document, mayMerge) };
    }
    const { equalIsSame } = merge;
    const { version: found, foreign } = this.#find(db, merge);
    const version = equalIsSame ? found : `${found} equalIsSame: false`;
    return {
      version,
      consider: async (document, mayMerge) => {
        const decision = await document.decide(equalIsSame);
        if (decision.kind !== 'merge') return decision;
        if (!mayMerge) return { kind: 'unasked' };
        const { conflict } = decision;
        return mergedBy(version, conflict, () => foreign.ask(db.name, conflict));
      },
    };
  }

  async #consider(merge: BuiltIn, document: LoadedDocument, mayMerge: boolean): Promise<Considered> {
    const { builtIns, limits } = this.options;
    try {
      return await document.consider(mayMerge, (given) => builtIns.consider(merge, given, limits.timeout));
    } catch (error) {
      if (!(error instanceof CageUnavailable)) throw error;
      // What needs no function needs no thread.
      const decision = await document.decide(merge.equalIsSame);
      if (decision.kind !== 'merge') return decision;
      if (!mayMerge) return { kind: 'unasked' };
      throw error;
    }
  }

  /** Those that are not used, of all databases or of one. */
  refusals(database?: string): readonly Refusal[] {
    return [...this.#found.values()].flatMap(({ version, database: of, foreign: { refusal } }) => {
      if (refusal === undefined || (of !== undefined && database !== undefined && of !== database)) return [];
      return { function: version, ...(of !== undefined && { database: of }), reason: refusal };
    });
  }

  /** Reads modules again. */
  reread(): void {
    this.#modules.look();
  }

  close(): void {
    this.#modules.close();
    for (const { foreign } of this.#found.values()) foreign.close();
    this.#found.clear();
  }

  #find(db: Database, source: ForeignSource): Found {
    const isModule = source.kind === 'module';
    const key = isModule ? source.file : `${db.name}\n${source.id}\n${source.name}`;
    const instance = isModule ? '' : db.instanceStartTime;
    const version = isModule
      ? this.#modules.versionOf(source.file)
      : `${source.version} ${db.get(source.id)?.winner ?? 'missing'}`;
    const known = this.#found.get(key);
    this.#found.delete(key);
    if (known?.version === version && known.instance === instance) {
      this.#found.set(key, known);
      return known;
    }
    known?.foreign.close();
    const database = isModule ? undefined : db.name;
    const foreign = this.#make(this.#cages(db, source), version, database);
    const found: Found = { version, instance, database, foreign };
    this.#found.set(key, found);
    this.#makeRoom();
    return found;
  }

  #make(open: () => Cage, version: string, database: string | undefined): ForeignFunction {
    const { log } = this.options;
    const about = { function: version, ...(database !== undefined && { database }) };
    return new ForeignFunction({
      open,
      onRefused: (reason) => log.warn({ ...about, reason }, 'a merge function is not used'),
    });
  }

  #cages(db: Database, source: ForeignSource): () => Cage {
    const { sandbox, limits, log } = this.options;
    if (source.kind === 'design') return designCages(sandbox, db, source);
    const { file } = source;
    const onLog = (line: string): void => log.info({ module: file, line }, 'a merge function logged');
    return () => new ModuleProcess({ file, limits, onLog });
  }

  #makeRoom(): void {
    for (const [key, { foreign }] of this.#found) {
      if (this.#found.size <= MOST) break;
      this.#found.delete(key);
      foreign.close();
    }
  }
}
