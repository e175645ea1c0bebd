import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DesignFunctions } from '../../src/design/types.js';
import { openCage, type Cage } from './support.js';

let cage: Cage;
/** Functions of a database that has nothing to do with what the others try. */
let neighbour: DesignFunctions;

beforeAll(async () => {
  cage = await openCage({ timeout: 1000, memory: 32 * 1024 * 1024, maxOutput: 1_000_000 });
  neighbour = await cage.of({ filters: { f: 'function (doc) { return doc.n > 1 }' } });
});
afterAll(() => cage.close());

/** Runs a show function, while another database goes on, and sees that its own goes on, too. */
async function attempt(body: string): Promise<unknown> {
  const functions = await cage.of({
    shows: { s: `function (doc, req) { ${body} }`, fine: 'function () { return "fine" }' },
  });
  const answer = functions.show('s', 'null', '{"path":[]}').then(
    (text) => (JSON.parse(text) as { body?: unknown }).body,
    (error: unknown) => error,
  );
  expect(await neighbour.filter('f', ['{"n":1}', '{"n":2}'], '{}')).toEqual([false, true]);
  const result = await answer;
  expect(JSON.parse(await functions.show('fine', 'null', '{"path":[]}'))).toEqual({ body: 'fine' });
  expect(await neighbour.filter('f', ['{"n":2}', '{"n":1}'], '{}')).toEqual([true, false]);
  return result;
}

describe('a function that looks for a way out', () => {
  const globalOf = (way: string) => `return String(${way}("return typeof process + typeof require('fs')")())`;

  it.each([
    ['the constructor of a function', globalOf('(function () {}).constructor')],
    ['the constructors of an argument', globalOf('req.constructor.constructor')],
    ['the constructor of what it is given', globalOf('log.constructor')],
    [
      'the constructor of an async function',
      '(async function () {}).constructor("return process")(); return "undefined"',
    ],
    ['Function', globalOf('Function')],
    ['eval', 'return eval("typeof process")'],
    [
      'an error in the code around it',
      'try { require(null) } catch (e) { return e.constructor.constructor("return typeof process")() }',
    ],
    ['the caller of a function', 'return String((function f() { return f.caller })())'],
    [
      'the parameters of a function',
      'try { return String(arguments.callee.caller) } catch (e) { return "undefined" }',
    ],
    [
      'a stack prepared by itself',
      'Error.prepareStackTrace = function (e, s) { return s }; var s = new Error().stack; return typeof s[0] === "string" ? "undefined" : String(s)',
    ],
    ['this of a function', 'return (function () { return typeof this.process })()'],
    ['a symbol', 'return typeof this[Symbol.for("nodejs.util.inspect.custom")]'],
  ])('finds nothing behind %s', async (_, body) => {
    const result = await attempt(body);
    if (result instanceof Error) expect(result).toMatchObject({ status: 500 });
    else expect(result).toMatch(/^(undefined|null)/);
  });

  it.each([
    ['import()', 'import("node:fs"); import("./main.js"); return "x"'],
    ['import of the code around it', 'import("./main.js").then(function (m) { m.call() }); return "x"'],
    ['promises without an end', '(async function f() { for (;;) await f() })(); return "x"'],
  ])('gets nowhere by %s', async (_, body) => {
    const result = await attempt(body);
    if (result instanceof Error) expect(result).toMatchObject({ status: 500 });
    else expect(result).toBe('x');
  });

  it.each([
    [
      'Array.prototype',
      'Array.prototype.push = Array.prototype.join = Array.prototype.map = function () { throw 1 }; Array.prototype[Symbol.iterator] = null',
    ],
    ['JSON', 'JSON.parse = JSON.stringify = function () { return "{}" }; Object.prototype.toJSON = 5'],
    ['Object', 'Object.defineProperty = Object.keys = null; Object.setPrototypeOf(Object.prototype, {a: 1})'],
    [
      'Function.prototype',
      'Function.prototype.call = Function.prototype.apply = Function.prototype.bind = null',
    ],
    ['String.prototype', 'String.prototype.split = String.prototype.includes = String.prototype.trim = null'],
    [
      'getters on everything',
      'for (var name of ["stack", "name", "message", "error"]) Object.defineProperty(Error.prototype, name, {get: function () { throw 1 }})',
    ],
    [
      'globals',
      'for (var name of Object.getOwnPropertyNames(globalThis)) try { globalThis[name] = null } catch (e) {}',
    ],
  ])('that breaks %s breaks nothing of others', async (_, body) => {
    await attempt(`try { ${body} } catch (e) {} return "x"`).catch((error: unknown) => error);
  });

  it('that breaks its globals still says nothing of other documents', async () => {
    const functions = await cage.of({
      validate_doc_update: `function (newDoc) {
        if (newDoc.evil) {
          JSON.parse = JSON.stringify = Array.isArray = Reflect.apply = Object.hasOwn = function () { return {ok: true} };
          Array.prototype.push = Map.prototype.get = function () {};
        }
        if (!newDoc.ok) throw {forbidden: 'no'};
      }`,
    });
    const texts = ['{"evil":true,"ok":true}', '{}', '{"ok":true}', '{"ok":false}'];
    const verdicts = await functions.validate(
      texts.map((document) => ({ document, before: 'null' })),
      '{}',
      '{}',
    );
    expect(verdicts.map((verdict) => verdict?.error)).toEqual([
      undefined,
      'forbidden',
      undefined,
      'forbidden',
    ]);
  });
});

/** Side by side, so that their times do not add up. */
const attemptAll = (bodies: Readonly<Record<string, string>>): Promise<unknown[]> =>
  Promise.all(Object.entries(bodies).map(async ([name, body]) => [name, await attempt(body)]));

it('ends functions without an end', async () => {
  const bodies = {
    'a loop': 'for (;;);',
    'a loop that catches everything': 'for (;;) { try { for (;;); } catch (e) { } finally { for (;;); } }',
    'a generator': 'function* g() { for (;;) yield 1 } for (var x of g());',
    'a regular expression': 'return /^(a+)+$/.test(new Array(40).join("a") + "!")',
    'a getter': 'return {get body() { for (;;); }}',
    toJSON: 'return {body: {toJSON: function () { for (;;); }}}',
    'a sort': 'var a = []; for (var i = 0; i < 1e4; i++) a.push(i); a.sort(function () { for (;;); })',
    'a thrown getter': 'throw {get error() { for (;;); }}',
    'the text of an error': 'throw {toString: function () { for (;;); }}',
    'a join of nothing, which cannot be interrupted': 'return new Array(4e8).join("")',
    'a sort of nothing, which cannot be interrupted': 'var a = []; a.length = 4e9; a.sort(); return "x"',
  };
  const ended = expect.objectContaining({
    error: 'os_process_error',
    reason: 'OS process timed out.',
  }) as unknown;
  expect(await attemptAll(bodies)).toEqual(Object.keys(bodies).map((name) => [name, ended]));
});

it('refuses functions that take too much', async () => {
  const bodies = {
    'text that doubles': 'var s = "x"; for (;;) s += s',
    'a list that grows': 'var a = []; for (;;) a.push({})',
    'a long list at once': 'return new Array(1e8).fill("x").length',
    'text at once': 'return "x".repeat(1e9)',
    recursion: 'function f() { return 1 + f() } return f()',
    'recursion that catches everything':
      'function f() { try { return f() } catch (e) { return f() } } return f()',
    'a long answer': 'return "x".repeat(2e6)',
    'a deep value': 'var a = []; for (var i = 0; i < 1e5; i++) a = [a]; return {json: a}',
    'a deep source': 'return eval("[".repeat(1e5) + "]".repeat(1e5))',
    'lines to log': 'for (;;) log("x".repeat(10000))',
    'memory kept for later':
      'globalThis.kept = globalThis.kept || []; for (;;) kept.push(new Array(1000).fill(1))',
  };
  const refused = expect.objectContaining({ status: 500 }) as unknown;
  expect(await attemptAll(bodies)).toEqual(Object.keys(bodies).map((name) => [name, refused]));
});
