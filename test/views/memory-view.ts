import { Turns } from '../../src/json/turns.js';
import { collate } from '../../src/store/collate.js';
import { type Inner, type Leaf, readNode } from '../../src/views/tree/node.js';
import type { Change, NodeWriter, Root } from '../../src/views/tree/types.js';
import { changeTree } from '../../src/views/tree/update.js';
import type { ViewReducer, ViewSnapshot } from '../../src/views/types.js';

/** A view whose nodes are in memory; all are kept, so that snapshots stay as they were. */
export class MemoryView {
  readonly #nodes = new Map<number, string>();
  #root: Root;
  #open = 0;
  reads = 0;
  /** What snapshots say of themselves. */
  updateSeq = 7;
  map = '""';

  constructor(
    private readonly reducer?: ViewReducer,
    private readonly isPartitioned = false,
  ) {}

  async change(changes: readonly Change[]): Promise<void> {
    const store: NodeWriter = {
      next: () => this.#nodes.size + 1,
      put: (node, text) => this.#nodes.set(node, text),
      delete: () => undefined,
      read: (nodes) => this.#read(nodes),
    };
    const reducers = this.reducer === undefined ? [] : [this.reducer];
    const { isPartitioned } = this;
    this.#root = await changeTree(
      this.#root,
      changes,
      store,
      { collate, isPartitioned, reducers },
      new Turns(),
    );
  }

  #read(nodes: readonly number[]): Promise<readonly (Leaf | Inner)[]> {
    this.reads += nodes.length;
    return Promise.resolve(nodes.map((node) => readNode(this.#nodes.get(node) ?? '')));
  }

  /** Snapshots that nobody closed. */
  get open(): number {
    return this.#open;
  }

  readonly snapshot = (): Promise<ViewSnapshot> => {
    this.#open++;
    return Promise.resolve({
      view: { name: 'v', map: this.map, reduce: undefined, options: 'null', isRaw: false },
      reducer: this.reducer,
      collate,
      isPartitioned: this.isPartitioned,
      root: this.#root,
      nodes: { read: (nodes) => this.#read(nodes) },
      updateSeq: this.updateSeq,
      close: () => {
        this.#open--;
        return Promise.resolve();
      },
    });
  };
}
