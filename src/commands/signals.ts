/** npm passes on a Ctrl-C that the terminal has sent to this process too; that is one signal, not two. */
const SAME_SIGINT_MS = 100;

/** The exit codes of what is ended by a signal. */
export const signalCodes = { SIGINT: 130, SIGTERM: 143 } as const;

export type StopSignal = keyof typeof signalCodes;

/** The first SIGTERM or SIGINT; those after it end the process at once. */
export function firstSignal(): Promise<StopSignal> {
  return new Promise((resolve) => {
    let first: { signal: StopSignal; time: number } | undefined;
    const handle = (signal: StopSignal): void => {
      const time = performance.now();
      const echo = signal === 'SIGINT' && first?.signal === signal && time - first.time < SAME_SIGINT_MS;
      if (first && !echo) process.exit(signalCodes[signal]);
      first ??= { signal, time };
      resolve(signal);
    };
    process.on('SIGTERM', () => handle('SIGTERM'));
    process.on('SIGINT', () => handle('SIGINT'));
  });
}
