import { Failure, namesItsError, spell, type Thrown } from './failures.js';
import type { DesignFunction } from './compile.js';
import { forgetProviders, hasProviders, provider, type Wish } from './mime.js';
import { forgetOutput, hasOutput, startedWith, takeOutput } from './output.js';
import { apply, isArray, json } from './primordials.js';

/** What functions answer with, as it is sent to the client. */
interface Response {
  headers?: Record<string, unknown>;
  body?: unknown;
}

function begin(): void {
  forgetOutput();
  forgetProviders();
}

interface Request extends Wish {
  readonly path?: readonly string[];
  readonly method?: string;
}

/** @returns JSON of the response */
export function show(
  run: DesignFunction,
  design: object,
  parameters: readonly unknown[],
  log: (message: unknown) => void,
): string {
  const [document, request] = parameters as [unknown, Request];
  try {
    begin();
    let response = wrap(orObject(apply(run, design, parameters))) as Response;
    if (hasOutput()) {
      response.headers = { ...response.headers, ...startedWith() };
      response.body = takeOutput() + text(response.body);
    }
    if (hasProviders()) {
      const { provide, type } = provider(request, design);
      const provided = wrap(orObject(provide())) as Response;
      response.body = text(response.body) + takeOutput() + text(provided.body);
      response = withType(response, type);
    }
    if (!isResponse(response)) throw new Failure('render_error', 'undefined response from show function');
    return json(response);
  } catch (error) {
    // A path of the database, the design document, its name, `_show` and the function's, and then a document's.
    if (document === null && (request.path?.length ?? 0) > 5)
      throw new Failure('not_found', 'document not found');
    throw asRenderError(error, 'render_error', log);
  } finally {
    begin();
  }
}

/** @returns JSON of the document and of the response */
export function update(
  run: DesignFunction,
  design: object,
  parameters: readonly unknown[],
  log: (message: unknown) => void,
): { readonly document: string; readonly response: string } {
  const [, request] = parameters as [unknown, Request];
  try {
    if (request.method === 'GET')
      throw new Failure('method_not_allowed', 'Update functions do not allow GET');
    begin();
    const result = apply(run, design, parameters) as readonly unknown[];
    const response = wrap(result[1]);
    if (!isResponse(response)) throw new Failure('render_error', 'undefined response from update function');
    return { document: json(result[0]), response: json(response) };
  } catch (error) {
    throw asRenderError(error, 'render_error', log);
  }
}

/** @returns JSON of what the request becomes; undefined where the function says nothing */
export function rewrite(
  run: DesignFunction,
  design: object,
  parameters: readonly unknown[],
  log: (message: unknown) => void,
): string | undefined {
  const [request] = parameters as [Request];
  try {
    const result = apply(run, design, parameters);
    if (!result) return undefined;
    return json(typeof result === 'string' ? { path: result, method: request.method } : result);
  } catch (error) {
    throw asRenderError(error, 'rewrite_error', log);
  }
}

export const text = (value: unknown): string => (value ? spell(value) : '');

function orObject(value: unknown): unknown {
  if (value) return value;
  return {};
}

const wrap = (response: unknown): unknown => (typeof response === 'string' ? { body: response } : response);

const isResponse = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && !isArray(value);

function withType(response: Response, type: string | undefined): Response {
  const headers = (response.headers ??= {});
  if (type !== undefined && !headers['Content-Type']) headers['Content-Type'] = type;
  return response;
}

/** What the client sees of an error, unless it says that itself. */
export function asRenderError(error: unknown, kind: string, log: (message: unknown) => void): unknown {
  const thrown = error as Thrown;
  if (namesItsError(thrown)) return error;
  const stack = thrown === null || thrown === undefined ? undefined : thrown.stack;
  const message = `function raised error: ${spell(error)} \nstacktrace: ${spell(stack)}`;
  log(message);
  return new Failure(kind, message);
}
