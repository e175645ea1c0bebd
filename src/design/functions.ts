import { CouchError } from '../errors.js';
import { inTurns, type Work } from '../json/turns.js';
import type { ListRows } from './lists.js';
import type { Call, Outcome } from './protocol.js';
import type { DesignFunctions, ReduceRun, UpdateResult, ValidatedPair } from './types.js';

/** The functions of a design document, which run elsewhere. */
export class CagedFunctions implements DesignFunctions {
  constructor(
    private readonly run: (call: Call) => Promise<readonly Outcome[]>,
    private readonly runList: (call: Call, rows: ListRows) => AsyncGenerator<string, Outcome | undefined>,
  ) {}

  async validate(
    pairs: readonly ValidatedPair[],
    userCtx: string,
    secObj: string,
  ): Promise<readonly (CouchError | undefined)[]> {
    const items = pairs.map(({ document, before }) => [document, before]);
    const outcomes = await this.run({
      kind: 'validate_doc_update',
      name: '',
      items,
      shared: [userCtx, secObj],
    });
    return outcomes.map((outcome) => (outcome === null ? undefined : errorOf(outcome)));
  }

  async filter(name: string, documents: readonly string[], request: string): Promise<readonly boolean[]> {
    return this.#pass('filters', name, documents, [request]);
  }

  async filterByView(name: string, documents: readonly string[]): Promise<readonly boolean[]> {
    return this.#pass('views', name, documents, []);
  }

  async #pass(
    kind: Call['kind'],
    name: string,
    documents: readonly string[],
    shared: readonly string[],
  ): Promise<readonly boolean[]> {
    const outcomes = await this.run({ kind, name, items: documents.map((document) => [document]), shared });
    return outcomes.map((outcome) => {
      if (typeof outcome === 'boolean') return outcome;
      throw errorOf(outcome);
    });
  }

  async compileViews(): Promise<void> {
    const [outcome] = await this.run({ kind: 'compiles', name: '', items: [[]], shared: [] });
    if (outcome !== null) {
      const error = errorOf(outcome);
      throw error.error === 'compilation_error' ? new CouchError(400, error.error, error.reason) : error;
    }
  }

  async map(documents: readonly string[]): Promise<readonly (readonly (readonly string[])[])[]> {
    if (documents.length === 0) return [];
    const items = documents.map((document) => [document]);
    const outcomes = await this.run({ kind: 'maps', name: '', items, shared: [] });
    return inTurns(emitted(outcomes));
  }

  async reduce(view: string, runs: readonly ReduceRun[], rereduce: boolean): Promise<readonly string[]> {
    if (runs.length === 0) return [];
    const items = runs.map(({ keys, values }) => [keys, values]);
    const outcomes = await this.run({ kind: 'reduces', name: view, items, shared: [String(rereduce)] });
    return outcomes.map((outcome) => wellFormed(answerOf(outcome)));
  }

  async update(name: string, document: string, request: string): Promise<UpdateResult> {
    const text = await this.#answer('updates', name, [document, request]);
    const colon = text.indexOf(':');
    const end = colon + 1 + Number(text.slice(0, colon));
    const made = text.slice(colon + 1, end);
    return { document: made === 'null' ? undefined : made, response: text.slice(end) };
  }

  show(name: string, document: string, request: string): Promise<string> {
    return this.#answer('shows', name, [document, request]);
  }

  async *list(name: string, head: string, request: string, rows: ListRows): AsyncGenerator<string> {
    const call: Call = { kind: 'lists', name, items: [[head, request]], shared: [] };
    const outcome = yield* this.runList(call, rows);
    if (outcome !== undefined) yield answerOf(outcome);
  }

  async rewrite(request: string): Promise<string | undefined> {
    const [outcome] = await this.run({ kind: 'rewrites', name: '', items: [[request]], shared: [] });
    return outcome === null ? undefined : answerOf(outcome);
  }

  /** See `MergeFunctions`. */
  async merge(name: string, conflict: string): Promise<string> {
    return wellFormed(await this.#answer('merges', name, [conflict]));
  }

  async #answer(kind: Call['kind'], name: string, item: readonly string[]): Promise<string> {
    const [outcome] = await this.run({ kind, name, items: [item], shared: [] });
    return answerOf(outcome);
  }
}

function* emitted(outcomes: readonly Outcome[]): Work<readonly string[][][]> {
  const all: string[][][] = [];
  for (const outcome of outcomes) {
    all.push(yield* emissionsIn(wellFormed(answerOf(outcome))));
    yield;
  }
  return all;
}

/** Halves of characters, which the engine's JSON has as escapes, and other escapes. */
const ESCAPES = /\\(?:u[dD][89a-fA-F][0-9a-fA-F]{2}|.)/g;

/** JSON text in which what is no character is replaced, as CouchDB does it: no document can have it. */
const wellFormed = (json: string): string =>
  json.includes('\\ud') ? json.replace(ESCAPES, (escape) => (escape.length > 2 ? '\ufffd' : escape)) : json;

/** Lines that are read in one go: a document may emit millions. */
const LINES = 1000;

/** The lines of each view: each ends with an empty one. */
function* emissionsIn(answer: string): Work<string[][]> {
  const views: string[][] = [];
  let lines: string[] = [];
  for (let from = 0; from < answer.length;) {
    const end = answer.indexOf('\n', from);
    if (end > from) lines.push(answer.slice(from, end));
    else {
      views.push(lines);
      lines = [];
    }
    from = end + 1;
    if (lines.length % LINES === LINES - 1) yield;
  }
  return views;
}

function answerOf(outcome: Outcome | undefined): string {
  if (typeof outcome === 'string' && outcome.startsWith('R')) return outcome.slice(1);
  throw errorOf(outcome);
}

/** What CouchDB answers to errors that functions name themselves; all others are 500. */
const STATUS: Readonly<Record<string, number | undefined>> = {
  bad_request: 400,
  query_parse_error: 400,
  illegal_docid: 400,
  doc_validation: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  filter_fetch_error: 404,
  method_not_allowed: 405,
  not_acceptable: 406,
  conflict: 409,
  gone: 410,
  missing_stub: 412,
  bad_ctype: 415,
};

function errorOf(outcome: Outcome | undefined): CouchError {
  if (typeof outcome !== 'string' || !outcome.startsWith('E')) throw new Error('a function gave no answer');
  const [error, reason] = JSON.parse(outcome.slice(1)) as [string, unknown];
  const status = Object.hasOwn(STATUS, error) ? STATUS[error] : undefined;
  return new CouchError(status ?? 500, error, typeof reason === 'string' ? reason : JSON.stringify(reason));
}
