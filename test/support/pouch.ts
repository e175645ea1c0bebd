import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { RevTree } from '../../src/revtree/tree.js';

export type Json = Record<string, unknown>;

export interface PouchResult {
  readonly ok?: boolean;
  readonly id?: string;
  readonly rev?: string;
  readonly error?: unknown;
  readonly status?: number;
}

/** An attachment as PouchDB shows it. */
export interface PouchAttachment {
  readonly content_type?: string;
  readonly digest: string;
  readonly length?: number;
  readonly stub?: boolean;
  /** Base64. */
  readonly data?: string;
}

/** `id@rev` → attachments by name. */
export type PouchAttachments = Record<
  string,
  { readonly stubs: Record<string, PouchAttachment>; readonly full: Record<string, PouchAttachment> }
>;

export interface Dump {
  docCount: number;
  updateSeq: number;
  /** Living documents in the order of their ids, `_conflicts` shown. */
  rows: { id: string; rev: string; doc: Json }[];
  changes: { seq: number; id: string; changes: { rev: string }[]; deleted?: boolean }[];
  documents: Record<
    string,
    { tree: RevTree; leaves: Json[]; bodies: Record<string, Json> } | { error: string }
  >;
  locals: Record<string, Json>;
}

/** PouchDB 9 in a child process (pouch-child.mjs). A directory must be closed there before we open it here. */
export class PouchProcess {
  readonly #child;
  readonly #waiting = new Map<number, { resolve: (result: never) => void; reject: (error: Error) => void }>();
  #number = 0;

  /** @param silent for one that is to crash */
  constructor(silent = false) {
    const file = fileURLToPath(new URL('pouch-child.mjs', import.meta.url));
    this.#child = fork(file, { serialization: 'advanced', silent });
    this.#child.on('message', (answer: { number: number; result?: unknown; failure?: string }) => {
      const waiting = this.#waiting.get(answer.number);
      this.#waiting.delete(answer.number);
      if (answer.failure === undefined) waiting?.resolve(answer.result as never);
      else waiting?.reject(new Error(`PouchDB: ${answer.failure}`));
    });
    this.#child.on('exit', (code) => {
      for (const { reject } of this.#waiting.values())
        reject(new Error(`PouchDB's process ended: ${String(code)}`));
    });
  }

  #call<T>(command: string, args: object): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const number = this.#number++;
      this.#waiting.set(number, { resolve, reject });
      this.#child.send({ number, command, args });
    });
  }

  open(dir: string, options: object = {}): Promise<number> {
    return this.#call('open', { dir, options });
  }

  close(dir: string): Promise<void> {
    return this.#call('close', { dir });
  }

  /** Calls any method of a PouchDB object; see answered.mjs. */
  call(dir: string, method: string, args: readonly unknown[]): Promise<unknown> {
    return this.#call('call', { dir, method, args });
  }

  bulkDocs(dir: string, docs: readonly object[], options: object = {}): Promise<PouchResult[]> {
    return this.#call('bulkDocs', { dir, docs, options });
  }

  put(dir: string, doc: object): Promise<PouchResult> {
    return this.#call('put', { dir, doc });
  }

  remove(dir: string, id: string, rev: string): Promise<PouchResult> {
    return this.#call('remove', { dir, id, rev });
  }

  compact(dir: string): Promise<unknown> {
    return this.#call('compact', { dir });
  }

  dump(dir: string, ids: readonly string[], locals: readonly string[]): Promise<Dump> {
    return this.#call('dump', { dir, ids, locals });
  }

  attachments(dir: string, ids: readonly string[]): Promise<PouchAttachments> {
    return this.#call('attachments', { dir, ids });
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const exit = once(this.#child, 'exit');
    this.#child.disconnect();
    await exit;
  }
}
