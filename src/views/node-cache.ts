import type { Inner, Leaf } from './tree/node.js';

type Node = Leaf | Inner;

/** Characters of the texts of all nodes that are kept; one that was read takes some five times the memory of its text. */
const MOST = 4 * 1024 * 1024;

/** Nodes of all indexes that were asked for just now. What was not asked for the longest goes first. */
export class NodeCache {
  /** In the order in which they were asked for. */
  readonly #nodes = new Map<string, Node>();
  #size = 0;

  get(key: string): Node | undefined {
    const node = this.#nodes.get(key);
    if (node !== undefined) {
      this.#nodes.delete(key);
      this.#nodes.set(key, node);
    }
    return node;
  }

  /** Keeps a node that is not there yet, unless it is too long. */
  add(key: string, node: Node): void {
    if (node.size > MOST / 16) return;
    this.#nodes.set(key, node);
    this.#size += node.size;
    for (const [oldest, { size }] of this.#nodes) {
      if (this.#size <= MOST) break;
      this.#nodes.delete(oldest);
      this.#size -= size;
    }
  }
}
