/**
 * What is wrong with a multipart body:
 * - `no-boundary`: the input ended before its first boundary, which is often not the one that was announced;
 * - `preamble`: there is too much before the first boundary;
 * - `headers`: what follows a boundary is not the head of a part, or is too long;
 * - `truncated`: the input ended before the closing boundary.
 */
export type MultipartProblem = 'no-boundary' | 'preamble' | 'headers' | 'truncated';

/** A multipart body that cannot be read. Errors of the source itself are passed on as they are. */
export class MultipartError extends Error {
  override readonly name = 'MultipartError';

  constructor(
    readonly code: MultipartProblem,
    message: string,
  ) {
    super(message);
  }
}
