import type { Inspector } from './inspector.js';

/** How late the event loop of a program was, in milliseconds. */
export interface LoopDelay {
  readonly p99: number;
  readonly max: number;
}

/** Begins to watch the event loop of a program. */
export async function watchLoop(inspector: Inspector): Promise<void> {
  await inspector.evaluate(
    `globalThis.loopDelay = process.getBuiltinModule('perf_hooks').monitorEventLoopDelay({ resolution: 1 });
     loopDelay.enable()`,
  );
}

/** How late it was since then: times between two beats of a millisecond, which the program counts in nanoseconds. */
export async function loopDelay(inspector: Inspector): Promise<LoopDelay> {
  const delay = await inspector.evaluate('[loopDelay.percentile(99), loopDelay.max].map((ns) => ns / 1e6)');
  const [p99, max] = (delay as [number, number]).map((value) => Math.round(value * 10) / 10);
  return { p99: p99 ?? Infinity, max: max ?? Infinity };
}
