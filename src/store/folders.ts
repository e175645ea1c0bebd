import { randomBytes } from 'node:crypto';
import { access, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { syncFolder } from '../config/files.js';
import { damaged } from './failures.js';
import { DELETED, folderOf, nameOf } from './names.js';

/** The folders of all databases of a data directory, and beside them the markers that tell a copied folder. */
export class Folders {
  /** Removals of deleted folders that still run. */
  readonly #removals = new Set<Promise<void>>();

  private constructor(
    private readonly folders: string,
    private readonly markers: string,
    /** The databases that were found. */
    readonly names: readonly string[],
  ) {}

  /** Reads which there are below `root`, an existing folder, and clears away what a crash left behind. */
  static async open(root: string): Promise<Folders> {
    const folders = join(root, 'databases');
    const markers = join(root, 'copies');
    await mkdir(folders, { recursive: true, mode: 0o700 });
    await mkdir(markers, { recursive: true, mode: 0o700 });
    await syncFolder(root);
    const names: string[] = [];
    for (const entry of await readdir(folders, { withFileTypes: true })) {
      if (!entry.isDirectory()) continue;
      if (entry.name.startsWith(DELETED))
        await rm(join(folders, entry.name), { recursive: true, force: true });
      const name = nameOf(entry.name);
      if (name !== undefined) names.push(name);
    }
    return new Folders(folders, markers, names);
  }

  folderOf(name: string): string {
    return join(this.folders, folderOf(name));
  }

  markerOf(name: string): string {
    return join(this.markers, folderOf(name));
  }

  /** @throws CouchError 500 where somebody took a database's folder away */
  async requireFolder(name: string): Promise<void> {
    await access(this.folderOf(name)).catch((error: unknown) => {
      throw damaged(name, error);
    });
  }

  /**
   * Makes a database's folder and calls `fill`, which is to put the database into it; resolves once both are on the
   * disk. Where that fails nothing of it is left.
   */
  async make(name: string, fill: () => Promise<void>): Promise<void> {
    const folder = this.folderOf(name);
    let isNew = false;
    try {
      isNew = (await mkdir(folder, { recursive: true, mode: 0o700 })) !== undefined;
      await syncFolder(this.folders);
      await fill();
    } catch (error) {
      // The next start would take it for a database. What somebody else put there stays.
      if (isNew) await rm(folder, { recursive: true, force: true }).catch(() => undefined);
      throw error;
    }
  }

  /** Gives a database's folder another name; resolves once that is on the disk. */
  async rename(name: string, other: string): Promise<void> {
    await rm(this.markerOf(name), { force: true });
    await rename(this.folderOf(name), this.folderOf(other));
    await syncFolder(this.folders);
  }

  /** Takes a database's folder and marker away; resolves once they are gone for good. */
  async remove(name: string): Promise<void> {
    // First the marker: should the folder come back, it must be taken for a copy.
    await rm(this.markerOf(name), { force: true });
    const gone = join(this.folders, DELETED + randomBytes(8).toString('hex'));
    await rename(this.folderOf(name), gone);
    await syncFolder(this.folders);
    this.#removeLater(gone);
  }

  #removeLater(folder: string): void {
    const forget = (): void => {
      // What could not be removed is tried again at the next start.
      this.#removals.delete(removal);
    };
    const removal = rm(folder, { recursive: true, force: true }).then(forget, forget);
    this.#removals.add(removal);
  }

  /** Waits for removals under way. */
  async close(): Promise<void> {
    await Promise.all(this.#removals);
  }
}
