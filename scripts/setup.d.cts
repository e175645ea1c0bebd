/** Installs and builds what is missing or stale; with `build: true` compiles in any case. */
export function prepare(options?: { build?: boolean }): void;
export function isInstalled(): boolean;
export function isBuilt(): boolean;
