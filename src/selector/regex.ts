import { RE2JS, RE2JSException } from 're2js';
import { mangoError, type CouchError } from '../errors.js';
import { erlangTerm } from '../json/erlang.js';

/** Characters of all expressions of a selector: compiling them takes up to 0.1 ms for each (measured). */
export const MOST_PATTERN = 500;

/**
 * Instructions of an expression times characters of a text. Each may take some nanoseconds (measured: 7 at worst), in
 * which nothing else runs.
 */
const MOST_WORK = 4_000_000;

/** What CouchDB's PCRE reads before an expression: how characters are to be taken, which is always so here. */
const VERBS = /^(?:\(\*(?:UTF8|UTF|UCP)\))+/;

/** What PCRE has and an engine without backtracking cannot have, and some other notations of PCRE alone. */
const PCRE_ONLY = /\(\?(?:[=!>#|&]|<[=!]|\(|P[=>]|R|[+-]?[0-9]|[a-z-]*x)|[*+?}]\+|\\(?:[1-9gkGKRXhHvVNZQE])/;

/**
 * A test of an expression, in time that grows with the text alone: RE2, where CouchDB has PCRE. As PCRE in CouchDB, it
 * finds nothing where to look would be too much work.
 * @throws CouchError 400
 */
export function compileRegex(pattern: string): (text: string) => boolean {
  const expression = compile(pattern);
  const most = MOST_WORK / expression.programSize();
  return (text) => text.length <= most && expression.test(text);
}

function compile(pattern: string): RE2JS {
  try {
    return RE2JS.compile(pattern.replace(VERBS, ''));
  } catch (error) {
    if (error instanceof RE2JSException) throw refusal(pattern);
    throw error;
  }
}

function refusal(pattern: string): CouchError {
  const hint = PCRE_ONLY.test(pattern)
    ? '; expressions are those of RE2, without lookaround, backreferences, possessive and atomic groups'
    : '';
  return mangoError('bad_arg', `Bad argument for operator $regex: ${erlangTerm(pattern)}${hint}`);
}
