import { CouchError, badRequest, forbidden } from '../errors.js';

/** Something that was asked for makes no replication. */
export class InvalidReplication extends Error {
  override readonly name = 'InvalidReplication';

  private constructor(
    /** What `_replicate` answers. */
    readonly answer: CouchError,
    /** What is said of a document: CouchDB shows some reasons as Erlang has them. */
    readonly ofDocument: string,
  ) {
    super(answer.message);
  }

  /** A member that is not what it must be. */
  static member(reason: string): InvalidReplication {
    return new InvalidReplication(badRequest(reason), `{throw,{bad_request,<<"${reason}">>}}`);
  }

  /** Members that go not together. */
  static members(reason: string): InvalidReplication {
    return new InvalidReplication(badRequest(reason), `{throw,{bad_request,"${reason}"}}`);
  }

  static endpoint(): InvalidReplication {
    const reason = 'endpoint has an invalid url';
    return new InvalidReplication(new CouchError(400, 'invalid_replication', reason), reason);
  }

  /** What CouchDB answers with 500, though it is the request's fault. */
  static error(reason: string): InvalidReplication {
    return new InvalidReplication(new CouchError(500, 'error', reason), reason);
  }

  /** What is refused for a reason of ours. */
  static because(error: CouchError): InvalidReplication {
    return new InvalidReplication(error, error.reason);
  }

  /** What a client is told who writes it as a document. */
  get refusal(): CouchError {
    return forbidden(this.ofDocument);
  }
}
