import { quote } from '../json/quote.js';
import type { RevNode, RevTree } from './tree.js';

/**
 * A tree as JSON. `JSON.stringify` would run out of stack some 2,500 revisions deep; a history may be as long as
 * `_revs_limit` allows.
 */
export function serialiseTree(tree: RevTree): string {
  let text = '[';
  for (const { pos, ids } of tree) {
    text += `${text === '[' ? '' : ','}{"pos":${String(pos)},"ids":${serialiseNode(ids)}}`;
  }
  return `${text}]`;
}

function serialiseNode(root: RevNode): string {
  let text = '';
  /** Nodes to write, and texts that follow them. */
  const stack: (RevNode | string)[] = [root];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    if (typeof next === 'string') {
      text += next;
      continue;
    }
    const [hash, { status, deleted }, children] = next;
    text += `[${quote(hash)},{"status":"${status}"${deleted === true ? ',"deleted":true' : ''}},[`;
    stack.push(']]');
    for (let at = children.length - 1; at >= 0; at--) {
      const child = children[at];
      if (child === undefined) continue;
      stack.push(child);
      if (at > 0) stack.push(',');
    }
  }
  return text;
}
