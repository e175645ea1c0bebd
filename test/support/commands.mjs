// The part of a child process that answers its parent (module-process.ts).

/** Runs the commands that the parent sends, each with its arguments, and tells what they answer, or how they fail. */
export function answerParent(commands) {
  const run = async ({ command, args }) => commands[command](args);
  process.on('message', ({ number, ...asked }) => {
    run(asked).then(
      (result) => process.send({ number, result: result ?? null }),
      (error) => process.send({ number, failure: String(error?.stack ?? error) }),
    );
  });
}
