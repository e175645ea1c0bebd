import { spell } from './failures.js';

/** What functions say by `start` and `send` while they run. */

let chunks: string[] = [];
let started: Readonly<Record<string, unknown>> = {};

/** Begins an answer in pieces. */
export function start(response?: Readonly<Record<string, unknown>>): void {
  started = response ?? {};
}

/** Characters that may be kept of an answer that has begun. */
const CHUNK = 65_536;

let size = 0;
let flush: (() => void) | undefined;

export function send(chunk: unknown): void {
  const text = spell(chunk);
  chunks.push(text);
  size += text.length;
  if (size > CHUNK) flush?.();
}

export const startedWith = (): Readonly<Record<string, unknown>> => started;
export const hasOutput = (): boolean => chunks.length > 0;

/** What was sent since it was taken last. */
export function takeOutput(): string {
  const taken = chunks.join('');
  chunks = [];
  size = 0;
  return taken;
}

/** From here on whoever gives this takes output that has become long. */
export function flushBy(take: () => void): void {
  flush = take;
}

export function forgetOutput(): void {
  takeOutput();
  started = {};
  flush = undefined;
}
