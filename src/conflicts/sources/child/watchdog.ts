import { workerData } from 'node:worker_threads';

/** A thread beside a merge function, which may never let its own thread go on. Its server may be gone by then. */

const SECOND = 1000;

const server: unknown = workerData;

setInterval(() => {
  if (process.ppid !== server) process.kill(process.pid, 'SIGKILL');
}, SECOND);
