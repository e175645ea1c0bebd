import { Failure, spell } from './failures.js';
import { evaluate, hasOwn } from './primordials.js';

export type DesignFunction = (...parameters: readonly unknown[]) => unknown;

/** @throws Failure where the source is not that of one function */
export function compile(source: unknown): DesignFunction {
  if (typeof source !== 'string' || source === '') throw new Failure('not_found', 'missing function');
  let value: unknown;
  try {
    value = run(source);
  } catch (error) {
    throw new Failure('compilation_error', `${spell(error)} (${source})`);
  }
  if (typeof value !== 'function')
    throw new Failure('compilation_error', `Expression does not eval to a function. (${source})`);
  return value as DesignFunction;
}

/** @param views of a design document. @throws Failure where a function of any of them does not compile */
export function compileViews(views: unknown): void {
  if (typeof views !== 'object' || views === null) return;
  for (const [name, view] of Object.entries(views).sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (typeof view !== 'object' || view === null) continue;
    const { map, reduce } = view as { readonly map?: unknown; readonly reduce?: unknown };
    // In CouchDB a library with a module of this name is a view like the others.
    if (typeof map !== 'string') continue;
    compileFor(`map function in the '${name}' view`, map);
    if (typeof reduce === 'string' && !reduce.startsWith('_')) {
      compileFor(`reduce function in the '${name}' view`, reduce);
    }
  }
}

function compileFor(what: string, source: string): void {
  try {
    compile(source);
  } catch (error) {
    if (!(error instanceof Failure) || error.error !== 'compilation_error') throw error;
    throw new Failure(error.error, `Compilation of the ${what} failed: ${error.reason}`);
  }
}

const NAMELESS = 'function name expected';

/**
 * The value of a script. In CouchDB's engine a function without a name may stand where a statement begins, and is a
 * value there: `// comment⏎function(doc) { … };`. The language does not have that, and says where it stood.
 */
function run(source: string): unknown {
  try {
    return evaluate(source);
  } catch (error) {
    const start = namelessFunction(source, error);
    if (start === undefined) throw error;
    return run(`${source.slice(0, start)}0,${source.slice(start)}`);
  }
}

function namelessFunction(source: string, error: unknown): number | undefined {
  if (!(error instanceof SyntaxError) || error.message !== NAMELESS) return undefined;
  const [, line, column] = /:(\d+):(\d+)/.exec(error.stack ?? '') ?? [];
  if (line === undefined || column === undefined) return undefined;
  const lines = source.split('\n').slice(0, Number(line) - 1);
  const end = lines.join('\n').length + (line === '1' ? 0 : 1) + Number(column) - 1;
  const start = source.lastIndexOf('function', end);
  // Only a function and no generator; those have to have a name in CouchDB, too.
  return start >= 0 && /^function\s*$/.test(source.slice(start, end)) ? start : undefined;
}

interface Module {
  readonly current: unknown;
  readonly parent: Module | undefined;
  readonly id: string | undefined;
}

type Require = (name: string, from?: Module) => unknown;

/** CommonJS within a design document, with paths as CouchDB reads them. */
export function requireWithin(design: object): Require {
  const cache = new Map<string | undefined, unknown>();

  const require: Require = (name, from) => {
    const found = resolve(name.split('/'), from?.parent, design);
    if (cache.has(found.id)) return cache.get(found.id);
    const module = { ...found, exports: {} as unknown };
    // What requires it while it is still running gets what it has exported by then.
    cache.set(found.id, module.exports);
    try {
      const body = evaluate(
        `(function (module, exports, require) { ${found.current}\n });`,
      ) as DesignFunction;
      body.call(globalThis, module, module.exports, (inner: string) => require(inner, module));
    } catch (error) {
      cache.delete(found.id);
      throw new Failure('compilation_error', `Module require('${name}') raised error ${spell(error)}`);
    }
    cache.set(found.id, module.exports);
    return module.exports;
  };
  return require;
}

/** The module that a path leads to: from the folder of another one where it begins with a dot, else from the root. */
function resolve(
  path: readonly string[],
  folder: Module | undefined,
  root: object,
): Module & { readonly current: string } {
  let module = path[0] === '.' || path[0] === '..' ? folder : undefined;
  for (const name of path) {
    if (name === '.') {
      if (module === undefined) throw noParent(module);
    } else if (name === '..') {
      if (module?.parent === undefined) throw noParent(module);
      module = module.parent;
    } else {
      const inside = (module?.current ?? root) as Readonly<Record<string, unknown>>;
      if (typeof inside !== 'object' || !hasOwn(inside, name)) {
        throw invalid(`Object has no property "${name}". ${JSON.stringify(inside)}`);
      }
      const id: string = module?.id === undefined ? name : `${module.id}/${name}`;
      module = { current: inside[name], parent: module, id };
    }
  }
  const current = module?.current;
  if (module === undefined || typeof current !== 'string')
    throw invalid(`Must require a JavaScript string, not: ${typeof current}`);
  return { ...module, current };
}

const invalid = (reason: string): Failure => new Failure('invalid_require_path', reason);
const noParent = (module: Module | undefined): Failure =>
  invalid(`Object has no parent ${JSON.stringify(module?.current)}`);
