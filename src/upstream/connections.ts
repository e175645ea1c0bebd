import { type Agent, Dispatcher } from 'undici';
import { type AgentOptions, newAgent } from '../replication/http/agent.js';

/** The connections to one server, whose limits may change while requests are under way. Must be cut. */
export class Connections extends Dispatcher {
  #agent: Agent;
  /** Those with limits of before, on which something may be under way. */
  #former: readonly Agent[] = [];

  constructor(options: AgentOptions) {
    super();
    this.#agent = newAgent(options);
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    return this.#agent.dispatch(options, handler);
  }

  /** What comes next has connections of its own; what is under way ends on those that it has. */
  renew(options: AgentOptions): void {
    // Closed they could not be cut any more. Connections that are of no use to anybody end by themselves.
    this.#former = [...this.#former, this.#agent].filter(isInUse);
    this.#agent = newAgent(options);
  }

  /** Ends everything that is under way. */
  async cut(): Promise<void> {
    await Promise.all([this.#agent, ...this.#former].map((agent) => agent.destroy()));
  }
}

const isInUse = ({ stats }: Agent): boolean => Object.values(stats).some(({ size }) => size > 0);
