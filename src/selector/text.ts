import { joinPath } from './path.js';
import type { Json, Selector, Test } from './types.js';

/** A selector in its normal form as JSON, as `_explain` and design documents have it. */
export function selectorJson(selector: Selector): Json {
  switch (selector.kind) {
    case 'everything':
      return {};
    case 'and':
    case 'or':
      return { [`$${selector.kind}`]: selector.parts.map(selectorJson) };
    case 'not':
      return { $not: selectorJson(selector.part) };
    case 'field':
      return { [joinPath(selector.path)]: testJson(selector.test) };
  }
}

function testJson({ operator, argument, negated, within }: Test): Json {
  const condition = { [operator]: within === undefined ? argument : selectorJson(within) };
  return negated ? { $not: condition } : condition;
}
