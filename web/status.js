// How the line is: lamps and words for the eye, and a status that is read out once per state.

const TEXT = {
  connecting: () => "Connecting",
  connected: () => "Connected",
  waiting: ({ seconds }) => `Reconnecting in ${seconds} s`,
  offline: () => "Offline",
  closed: ({ reason }) => (reason ? `Closed: ${reason}` : "Closed by the server"),
};
/** What a screen reader says: once per state, not once per second or per try. */
const SPOKEN = { ...TEXT, connecting: () => "", waiting: () => "No connection, trying again" };

const head = document.querySelector(".head");
const status = document.getElementById("status");
const button = document.getElementById("reconnect");

/** Have a screen reader say something, unless it has just said that. */
export function speak(text) {
  if (status.textContent !== text) status.textContent = text;
}

/** Show a state, {name, seconds?, reason?}. */
export function showState(state) {
  const { name } = state;
  const changed = head.dataset.state !== name;
  head.dataset.state = name;
  document.getElementById("state").textContent = TEXT[name](state);
  if (!changed) return;
  const spoken = SPOKEN[name](state);
  if (spoken) speak(spoken);
  if (button === document.activeElement) document.getElementById("text").focus();
  button.hidden = name === "connected" || name === "connecting";
}
