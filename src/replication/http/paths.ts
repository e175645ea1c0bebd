/** A document's id as a path below its database. */
export function documentPath(id: string): string {
  const [, reserved = '', name = ''] = /^(_design\/|_local\/)?(.*)$/s.exec(id) ?? [];
  return reserved + encodeURIComponent(name);
}

/** Parameters behind a path, those that are undefined left out. */
export function queryString(
  parameters: Readonly<Record<string, string | number | boolean | undefined>>,
): string {
  const given = Object.entries(parameters).flatMap(([name, value]) =>
    value === undefined ? [] : [`${encodeURIComponent(name)}=${encodeURIComponent(value)}`],
  );
  return given.length === 0 ? '' : `?${given.join('&')}`;
}
