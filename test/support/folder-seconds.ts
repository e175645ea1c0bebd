import path from 'node:path';
import type { Reporter, TestModule } from 'vitest/node';

/** Prints, after a run, how many seconds the tests of each folder of test/ took. */
export class FolderSeconds implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const seconds = new Map<string, number>();
    for (const module of modules) {
      const [folder = ''] = path.relative('test', module.moduleId).split(path.sep);
      const { duration, setupDuration, collectDuration, environmentSetupDuration } = module.diagnostic();
      const total = duration + setupDuration + collectDuration + environmentSetupDuration;
      seconds.set(folder, (seconds.get(folder) ?? 0) + total / 1000);
    }
    const lines = [...seconds]
      .sort(([a], [b]) => a.localeCompare(b))
      .map(([folder, time]) => `  ${folder.padEnd(16)}${time.toFixed(1).padStart(8)} s`);
    process.stdout.write(`\nSeconds by folder (files run side by side):\n${lines.join('\n')}\n`);
  }
}
