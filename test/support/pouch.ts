import type { RevTree } from '../../src/revtree/tree.js';
import { ModuleProcess } from './module-process.js';

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
export class PouchProcess extends ModuleProcess {
  /** @param silent for one that is to crash */
  constructor(silent = false) {
    super(new URL('pouch-child.mjs', import.meta.url), silent);
  }

  open(dir: string, options: object = {}): Promise<number> {
    return this.ask('open', { dir, options });
  }

  close(dir: string): Promise<void> {
    return this.ask('close', { dir });
  }

  /** Calls any method of a PouchDB object; see answered.mjs. */
  call(dir: string, method: string, args: readonly unknown[]): Promise<unknown> {
    return this.ask('call', { dir, method, args });
  }

  bulkDocs(dir: string, docs: readonly object[], options: object = {}): Promise<PouchResult[]> {
    return this.ask('bulkDocs', { dir, docs, options });
  }

  put(dir: string, doc: object): Promise<PouchResult> {
    return this.ask('put', { dir, doc });
  }

  remove(dir: string, id: string, rev: string): Promise<PouchResult> {
    return this.ask('remove', { dir, id, rev });
  }

  compact(dir: string): Promise<unknown> {
    return this.ask('compact', { dir });
  }

  dump(dir: string, ids: readonly string[], locals: readonly string[]): Promise<Dump> {
    return this.ask('dump', { dir, ids, locals });
  }

  attachments(dir: string, ids: readonly string[]): Promise<PouchAttachments> {
    return this.ask('attachments', { dir, ids });
  }
}
