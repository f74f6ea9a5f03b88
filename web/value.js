// What a value says. The page sends {name, text, time}; from elsewhere comes a bare text, or any other JSON.
//
// A value has no time on the wire, and what is kept does not tell when it was said: so the page of whoever speaks puts
// it in (ISO 8601, UTC). It is their clock and their word, as the name is: a time that cannot be is not shown. Name,
// text and time to the millisecond also tell one value from another: what comes twice is shown once.

export const MOST_NAME = 40; // characters, as in routes.yaml
export const NOBODY = "Somebody";
const CLOCKS_DIFFER_MS = 60_000;
const PARTS = new Set(["name", "text", "time"]);

/** What the page sends. */
export function makeValue(name, text) {
  return { name, text, time: new Date().toISOString() };
}

/**
 * Read any value.
 * @returns {{text: string, name?: string, time?: Date, key?: string, data?: boolean}}
 *   key: the same for the same value, if it can be told from others; data: it is no text of a person's
 */
export function readValue(value) {
  if (typeof value === "string") return { text: value };
  const keys = value && typeof value === "object" ? Object.keys(value) : [];
  if (keys.length === 1 && typeof value.message === "string") return { text: value.message };
  if (typeof value?.text !== "string" || !keys.every((key) => PARTS.has(key))) {
    return { text: JSON.stringify(value), data: true };
  }
  const { name, text, time } = value;
  const key = typeof time === "string" ? JSON.stringify([time, name, text]) : undefined;
  return { text, name: name === undefined ? undefined : shownName(name), time: plausible(time), key };
}

/** A name as it is shown: one line, in its own direction (index.html isolates it), and not invisible. */
export function shownName(name) {
  if (typeof name !== "string") return NOBODY;
  const line = name.replace(/\s+/gu, " ").replace(/[\p{Cc}\p{Bidi_Control}]/gu, "").trim();
  const shown = [...line].slice(0, MOST_NAME).join("");
  return /[^\s\p{C}\p{M}\p{Default_Ignorable_Code_Point}\u2800]/u.test(shown) ? shown : NOBODY;
}

function plausible(time) {
  const date = new Date(typeof time === "string" ? time : NaN);
  return date.getTime() < Date.now() + CLOCKS_DIFFER_MS ? date : undefined; // NaN is less than nothing
}
