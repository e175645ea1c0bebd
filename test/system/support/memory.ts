import type { Couch } from './couch.js';
import { Heap } from './heap.js';
import { Listener } from './listeners.js';
import { anonymousMemory, MemoryWatch, processorTicks } from './proc.js';
import { Restartable } from './restartable.js';
import { until } from './wait.js';

export interface StreamMeasure {
  /** Bytes of the process before. */
  readonly idle: number;
  /** The most bytes beyond those while it streamed. */
  readonly peak: number;
  readonly rows: number;
}

/** Reads an answer to its end, keeping nothing, and counts its rows (one a line). */
export async function countRows(couch: Couch, path: string): Promise<number> {
  const { statusCode, body } = await couch.open('GET', path);
  if (statusCode !== 200) throw new Error(`${path}: ${String(statusCode)} ${await body.text()}`);
  let lines = 0;
  for await (const chunk of body) {
    const bytes = chunk as Buffer;
    for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) lines += 1;
  }
  return lines;
}

/** What a server, freshly started on some data, needs to answer a request `times` times. */
export async function measureStream(data: string, path: string, times: number): Promise<StreamMeasure> {
  const server = await Restartable.start({ data });
  try {
    const idle = await settledMemory(server.pid);
    const watch = new MemoryWatch(server.pid);
    let rows = 0;
    for (let time = 0; time < times; time += 1) rows += await countRows(server.couch, path);
    return { idle, peak: (await watch.stop()) - idle, rows };
  } finally {
    await server.couch.close();
    await server.stop();
  }
}

/** The memory of a process that has come to rest. */
export async function settledMemory(pid: number): Promise<number> {
  await untilIdle(pid);
  return await anonymousMemory(pid);
}

/** Waits until a process does nothing: it has used hardly any processor time for half a second. */
export async function untilIdle(pid: number): Promise<void> {
  const seen: number[] = [];
  await until(
    'the server is at rest',
    async () => {
      seen.push(await processorTicks(pid));
      return (seen.at(-1) ?? 0) - (seen.at(-11) ?? -1) <= 1;
    },
    { step: 50 },
  );
}

/** Bytes that a server, made `INSPECTABLE`, keeps reachable for readers that do not read. */
export async function measureStalled(server: Restartable, path: string, readers: number): Promise<number> {
  const heap = await Heap.of(server.program);
  const idle = await heap.reachable();
  const listeners = Array.from({ length: readers }, () => {
    const listener = Listener.open(server, path);
    return listener;
  });
  for (const listener of listeners) {
    await until('the answer begins', () => listener.text.startsWith('HTTP/1.1 200'));
    listener.pause();
  }
  await untilIdle(server.pid);
  const kept = (await heap.reachable()) - idle;
  heap.close();
  const [first, ...others] = listeners;
  for (const listener of others) listener.vanish();
  first?.resume();
  await until('the rest of the answer', () => first?.complete === true);
  return kept;
}
