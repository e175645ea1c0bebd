import findMyWay, { type HTTPMethod } from 'find-my-way';
import type { Params } from './exchange.js';
import type { Resource } from './resource.js';

const ANY: HTTPMethod = 'GET';

/** Finds the resource of a path, whatever the method. */
export class Resources {
  readonly #router: ReturnType<typeof findMyWay>;

  /** @param maxParamLength characters that a part of a path may have */
  constructor(maxParamLength: number) {
    this.#router = findMyWay({ maxParamLength });
  }

  add(resource: Resource): void {
    this.#router.on(ANY, resource.path, () => undefined, resource);
  }

  /** @param path in the one form that routes are written in; undefined where there is nothing, or it is no UTF-8 */
  find(path: string): { readonly resource: Resource; readonly params: Params } | undefined {
    const found = this.#router.find(ANY, path);
    return found === null ? undefined : { resource: found.store as Resource, params: found.params };
  }
}
