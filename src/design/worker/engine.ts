import { readFile } from 'node:fs/promises';
import { EvalFlags, Intrinsics, QuickJS, type QuickJSOptions, type Snapshot } from 'quickjs-wasi';

/** What CouchDB's engine has of the language, and promises, which this engine cannot do without. */
const LANGUAGE =
  Intrinsics.DATE |
  Intrinsics.EVAL |
  Intrinsics.REGEXP |
  Intrinsics.JSON |
  Intrinsics.MAP_SET |
  Intrinsics.PROMISE;

/** The most that the engine's stack in WebAssembly has room for: some 1,900 calls within each other. */
const MAX_STACK_SIZE = 512 * 1024;

/** The code around functions, which the engine runs as modules. */
const GUEST = new URL('../guest/', import.meta.url);
const MODULES = [
  'main',
  'compile',
  'failures',
  'list',
  'mime',
  'output',
  'primordials',
  'random',
  'render',
  'repeated',
];

/** An engine that has run the code around functions, to be copied: that takes less time than running it. */
export interface Template {
  readonly module: WebAssembly.Module;
  readonly snapshot: Snapshot;
  /** Where the functions of guest/main.ts are in it. */
  readonly load: number;
  readonly call: number;
}

export async function createTemplate(module: WebAssembly.Module): Promise<Template> {
  const sources = new Map<string, string>(
    await Promise.all(
      MODULES.map(async (name) => {
        const file = `${name}.js`;
        return [`./${file}`, await readFile(new URL(file, GUEST), 'utf8')] as const;
      }),
    ),
  );
  const engine = await QuickJS.create({
    wasm: module,
    intrinsics: LANGUAGE,
    maxStackSize: MAX_STACK_SIZE,
    moduleLoader: {
      normalize: (_from, name) => name,
      load: (name) => sources.get(name) ?? '',
    },
  });
  const loading = engine.evalCode("export * from './main.js'", 'guest', EvalFlags.TYPE_MODULE);
  engine.executePendingJobs();
  const loaded = await engine.resolvePromise(loading);
  if (!('value' in loaded)) throw new Error('the code around functions does not run');
  const load = engine.exportHandle(loaded.value.getProp('load'));
  const call = engine.exportHandle(loaded.value.getProp('call'));
  return { module, snapshot: engine.snapshot(), load, call };
}

type Options = Pick<QuickJSOptions, 'wasi' | 'memoryLimit' | 'interruptHandler'>;

export function copyOf({ module, snapshot }: Template, options: Options): Promise<QuickJS> {
  // Without a loader there are no modules.
  return QuickJS.restore(snapshot, {
    wasm: module,
    maxStackSize: MAX_STACK_SIZE,
    ...options,
  });
}
