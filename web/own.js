// What this person said, so that it is theirs on their other tabs as well, and when they come back. A name would not
// do: anybody may take it.

const KEY = "signalpost.own";
const MOST = 200;
const LONGEST = 300; // characters of a key (value.js)

/** Remember a message by its key. */
export function rememberOwn(key) {
  try {
    localStorage.setItem(KEY, JSON.stringify([...read(), key.slice(0, LONGEST)].slice(-MOST)));
  } catch {} // this browser keeps nothing, or no more
}

/** Say of each of some messages whether it is this person's. */
export function areOwn(keys) {
  const known = new Set(read());
  return keys.map((key) => key !== undefined && known.has(key.slice(0, LONGEST)));
}

function read() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY));
    return Array.isArray(kept) ? kept : [];
  } catch {
    return [];
  }
}
