// What this person said, so that it is theirs on their other tabs as well, and when they come back. A name would not
// do: anybody may take it.

const KEY = "signalpost.own";
const MOST = 200;
const LONGEST = 300; // characters of a key (value.js)

let raw; // as it was read last, by whichever tab it was written
let known = new Set();

/** Remember a message by its key. */
export function rememberOwn(key) {
  const all = [...read(), key.slice(0, LONGEST)];
  try {
    localStorage.setItem(KEY, JSON.stringify(all.slice(-MOST)));
  } catch {} // this browser keeps nothing, or no more
}

/** Whether a message, of which the key is given, is this person's. */
export function isOwn(key) {
  return key !== undefined && read().has(key.slice(0, LONGEST));
}

function read() {
  try {
    const now = localStorage.getItem(KEY);
    if (now === raw) return known;
    raw = now;
    known = new Set(JSON.parse(now));
  } catch {
    known = new Set(); // this browser keeps nothing, or something else was kept here
  }
  return known;
}
