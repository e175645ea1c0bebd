import type { DesignFunction } from './compile.js';
import { forgetProviders, hasProviders, provider, type Wish } from './mime.js';
import { flushBy, forgetOutput, startedWith, takeOutput } from './output.js';
import { apply, json, parse } from './primordials.js';
import { asRenderError, text } from './render.js';

/**
 * Takes what a list function says, and gives it rows.
 * @param start JSON of the response object, once, when the answer begins; else empty
 * @returns JSON of the next row where one is wanted; null where there are no more
 */
export type Tell = (start: string, output: string, wantsRow: boolean) => string | null;

/** The answer of the list function that runs. */
class Answer {
  /** The content type of the function that was chosen by what the client accepts. */
  type: string | undefined;
  #hasBegun = false;
  #isOver = false;

  constructor(private readonly tell: Tell) {}

  /** The first row that is asked for begins the answer: what fails until then is answered as an error. */
  row(): unknown {
    if (this.#isOver) return null;
    const row = this.tell(this.#start(), takeOutput(), true);
    if (row !== null) return parse(row);
    this.#isOver = true;
    return null;
  }

  /** What there is to say behind all that was told. */
  end(tail: unknown): string {
    if (!this.#hasBegun) this.row();
    return takeOutput() + (tail === undefined || tail === null ? '' : text(tail));
  }

  #start(): string {
    if (this.#hasBegun) return '';
    this.#hasBegun = true;
    flushBy(() => this.tell('', takeOutput(), false));
    const response = startedWith();
    const headers = (response.headers ?? {}) as Readonly<Record<string, unknown>>;
    if (this.type === undefined || headers['Content-Type']) return json(response);
    return json({ ...response, headers: { ...headers, 'Content-Type': this.type } });
  }
}

let answer: Answer | undefined;

/** Only list functions have rows. */
export function getRow(): unknown {
  return answer === undefined ? null : answer.row();
}

/** @returns the end of the answer */
export function list(
  run: DesignFunction,
  design: object,
  parameters: readonly unknown[],
  tell: Tell,
  log: (message: unknown) => void,
): string {
  forgetOutput();
  forgetProviders();
  answer = new Answer(tell);
  try {
    let tail = apply(run, design, parameters);
    if (hasProviders()) {
      const chosen = provider(parameters[1] as Wish, design);
      answer.type = chosen.type;
      tail = chosen.provide();
    }
    return answer.end(tail);
  } catch (error) {
    throw asRenderError(error, 'render_error', log);
  } finally {
    answer = undefined;
    forgetOutput();
    forgetProviders();
  }
}
