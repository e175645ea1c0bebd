import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';

let loading: Promise<WebAssembly.Module> | undefined;

/** The engine that functions run in, compiled once for all threads. */
export function engineModule(): Promise<WebAssembly.Module> {
  loading ??= load().catch((error: unknown) => {
    loading = undefined;
    throw error;
  });
  return loading;
}

async function load(): Promise<WebAssembly.Module> {
  const file = createRequire(import.meta.url).resolve('quickjs-wasi/quickjs.wasm');
  return WebAssembly.compile(await readFile(file));
}
