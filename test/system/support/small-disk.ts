import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** Whether a disk of one's own can be mounted here: CI has to be able to. */
export function canMount(): boolean {
  if (process.getuid?.() === 0 || process.env.CI === 'true') return true;
  process.stderr.write('no rights to mount a small disk, the tests of a full one are skipped\n');
  return false;
}

/** A small disk (a tmpfs), mounted until it is removed, and a file that takes the room of other things. */
export class SmallDisk {
  private constructor(readonly folder: string) {}

  static mount(megabytes: number): SmallDisk {
    const folder = mkdtempSync(path.join(tmpdir(), 'causeway-disk-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${String(megabytes)}m`, 'tmpfs', folder]);
    return new SmallDisk(folder);
  }

  /** Bytes that can still be written. */
  get free(): number {
    const { bavail, bsize } = statfsSync(this.folder);
    return bavail * bsize;
  }

  /** Takes all the room but `left` bytes. */
  fill(left = 0): void {
    const bytes = this.free - left;
    if (bytes <= 0) return;
    const file = openSync(this.#ballast, 'a');
    try {
      for (let at = 0; at < bytes; at += 4096) writeSync(file, Buffer.alloc(4096));
    } finally {
      closeSync(file);
    }
  }

  /** Gives back what `fill` took. */
  relieve(): void {
    rmSync(this.#ballast, { force: true });
  }

  /** Whether it can only be read from now on. */
  protect(isProtected = true): void {
    execFileSync('mount', ['-o', `remount,${isProtected ? 'ro' : 'rw'}`, this.folder]);
  }

  get #ballast(): string {
    return path.join(this.folder, 'ballast');
  }

  remove(): void {
    execFileSync('umount', [this.folder]);
    rmSync(this.folder, { recursive: true });
  }
}
