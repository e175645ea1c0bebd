/** Whether an Accept header admits a media type, with CouchDB's reading: none admits all, `q=0` excludes. */
export function accepts(header: string | undefined, type: string): boolean {
  if (header === undefined || header === '*/*') return true;
  if (header === type) return true;
  const family = `${type.slice(0, type.indexOf('/'))}/*`;
  let admitted = false;
  for (const range of header.split(',')) {
    const [name = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const fits = name === type || name === family;
    if (!fits && name !== '*/*') continue;
    if (quality(parameters) > 0) admitted = true;
    else if (fits) return false;
  }
  return admitted;
}

function quality(parameters: readonly string[]): number {
  for (const parameter of parameters) {
    if (parameter.startsWith('q=')) {
      const q = Number(parameter.slice(2));
      return Number.isNaN(q) ? 0 : q;
    }
  }
  return 1;
}
