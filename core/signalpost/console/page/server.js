// What the page asks of the server: one address to read, and one for each deed.

const BASE = document.documentElement.dataset.base;
const PATIENCE = 10_000; // ms until a question counts as lost; deeds take as long as they take

/** Ask what there is to show. */
export async function read(query) {
  const given = Object.entries(query).filter(([, value]) => value !== "");
  const response = await request(`/data?${new URLSearchParams(given)}`, { signal: AbortSignal.timeout(PATIENCE) });
  return response.json();
}

/** Ask the server to do something. */
export async function sendDeed(name, body) {
  const headers = { "content-type": "application/json" };
  const response = await request(`/${name}`, { method: "POST", headers, body: JSON.stringify(body) });
  return response.json();
}

/** @throws {Error} with the server's own words and its status, or without a status if it cannot be reached. */
async function request(address, options) {
  let response;
  try {
    response = await fetch(BASE + address, { cache: "no-store", headers: {}, ...options });
  } catch {
    throw new Error("The server is away");
  }
  if (response.ok) {
    return response;
  }
  const error = new Error(await wordsOf(response));
  error.status = response.status;
  throw error;
}

async function wordsOf(response) {
  if (response.status === 401) {
    return "You are not signed in any more: load this page again";
  }
  try {
    const { error } = await response.json();
    return error.detail ?? `The server has answered ${response.status}`;
  } catch {
    return `The server has answered ${response.status}`;
  }
}
