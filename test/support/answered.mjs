/** What an attempt answers, or how it fails, in a form that can be compared. */
export async function answered(attempt) {
  try {
    return plain(await attempt());
  } catch (error) {
    return { failed: plain(error) };
  }
}

/** Errors, also those that are results, as what PouchDB's users look at; bytes as text. */
function plain(value) {
  if (value instanceof Error) {
    const { status, name, message, reason, id, docId } = value;
    return plain({ status, name, message, reason, id, docId });
  }
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString('base64'), type: value.type };
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, member]) => (member === undefined ? [] : [[name, plain(member)]])),
  );
}
