/**
 * What merge functions have: the language, without what tells the time, what is random, what depends on where it runs, and
 * what takes memory that no limit holds for (buffers of bytes are not in the engine's heap).
 */
const KEPT: ReadonlySet<string> = new Set([
  'AggregateError',
  'Array',
  'BigInt',
  'Boolean',
  'Error',
  'EvalError',
  'Function',
  'Infinity',
  'Iterator',
  'JSON',
  'Map',
  'Math',
  'NaN',
  'Number',
  'Object',
  'Promise',
  'Proxy',
  'RangeError',
  'ReferenceError',
  'Reflect',
  'RegExp',
  'Set',
  'String',
  'Symbol',
  'SyntaxError',
  'TypeError',
  'URIError',
  'WeakMap',
  'WeakSet',
  'decodeURI',
  'decodeURIComponent',
  'encodeURI',
  'encodeURIComponent',
  'eval',
  'globalThis',
  'isFinite',
  'isNaN',
  'parseFloat',
  'parseInt',
  'queueMicrotask',
  'structuredClone',
  'undefined',
]);

/** Leaves nothing else behind. @param log takes what functions say by `console` */
export function keepLanguage(log: (...values: readonly unknown[]) => void): void {
  for (const name of Reflect.ownKeys(globalThis))
    if (typeof name === 'symbol' || !KEPT.has(name)) Reflect.deleteProperty(globalThis, name);
  Reflect.deleteProperty(Math, 'random');
  // What they say depends on the language of the machine.
  for (const { prototype } of [Array, BigInt, Number, Object, String]) {
    for (const name of Object.getOwnPropertyNames(prototype))
      if (/^(toLocale|localeCompare)/.test(name)) Reflect.deleteProperty(prototype, name);
  }
  const console = { debug: log, error: log, info: log, log, warn: log };
  Object.defineProperty(globalThis, 'console', { value: console });
}
