export function answered(attempt: () => unknown): Promise<unknown>;
