/** What a task is, under CouchDB's names: `type`, `database` and what that type of task shows. */
export type TaskFields = Readonly<Record<string, string | number | boolean | null>>;

/** A task as `_active_tasks` shows it, but for the node. */
export interface ShownTask extends TaskFields {
  /** Tells it from all others; looks like the process ids of CouchDB. */
  readonly pid: string;
  /** Seconds since 1970. */
  readonly started_on: number;
  /** When it last told of itself: seconds since 1970. */
  readonly updated_on: number;
}

/** Something that runs for a while. Whoever began it ends it. */
export interface Task {
  /** As it is shown. */
  readonly pid: string;
  /** Shows these fields instead of what they were. */
  update(fields: TaskFields): void;
  end(): void;
}

/** What runs in the background, for whoever wants to look. */
export class Tasks {
  readonly #running = new Set<{ fields: ShownTask; readonly live: () => TaskFields }>();
  #count = 0;

  /** The oldest first. */
  list(): readonly ShownTask[] {
    return Array.from(this.#running, ({ fields, live }) => ({ ...fields, ...live() }));
  }

  /** @param live what is asked for each time that somebody looks; for what changes all the time */
  begin(fields: TaskFields, live: () => TaskFields = () => NONE): Task {
    const now = seconds();
    const pid = `<0.${String(++this.#count)}.0>`;
    const task = { fields: { ...fields, pid, started_on: now, updated_on: now }, live };
    this.#running.add(task);
    return {
      pid,
      update: (changed) => {
        task.fields = { ...task.fields, ...changed, updated_on: seconds() };
      },
      end: () => {
        this.#running.delete(task);
      },
    };
  }
}

const NONE: TaskFields = {};

const seconds = (): number => Math.floor(Date.now() / 1000);
