// Sign-in. The token is in a cookie that no script can read: this page knows only what the server says at /me.

import { append, join, make, onSubmit, post, tell } from "./page.js";

const SIGN_IN_AGAIN = 4401; // the server does not know who this is, or not any longer
const MAY_NOT = 4403;
const TOO_MANY = 429;

const byId = (id) => document.getElementById(id);
const talk = byId("talk");
let me = null;
let send = null;

onSubmit(byId("composer"), (text) => send({ message: text }));
byId("signin").addEventListener("submit", signIn);
byId("signout").addEventListener("click", signOut);

try {
  show(await (await fetch("/me", { cache: "no-store" })).json());
} catch {
  show({ user: null });
  tell("The server does not answer.");
}

async function signIn(event) {
  event.preventDefault();
  byId("enter").disabled = true; // it takes a moment, on purpose
  const said = { name: byId("name").value.trim(), password: byId("password").value };
  const { status, data } = await post("/signin", said);
  byId("enter").disabled = false;
  if (status === 200) {
    byId("password").value = "";
    show(data);
    byId("text").focus();
  } else if (status) {
    explain(status === TOO_MANY ? "Too many tries. Wait a minute, then try again." : "Name or password is wrong.");
    byId("password").select();
  }
}

async function signOut() {
  const { status } = await post("/signout", {});
  if (status !== 200) return; // the cookie is still there
  show({ user: null });
  byId("name").focus();
}

/** Show the form to those whom the server does not know, the room to all others. */
function show({ user, roles }) {
  me = user;
  byId("signin").hidden = Boolean(user);
  byId("desk").hidden = !user;
  send?.leave();
  send = null;
  talk.replaceChildren(); // another person may come next
  byId("empty").hidden = false;
  explain("");
  if (!user) return;
  const writes = roles.includes("editor");
  byId("me").textContent = user;
  byId("role").textContent = writes ? "You may read and write." : "You may read, but not write.";
  for (const id of ["text", "send"]) byId(id).disabled = !writes;
  byId("text").placeholder = writes ? "Message" : "Only editors write here";
  byId("talking").hidden = false;
  send = join("/talk", received, undefined, happened);
}

function received({ from, text }) {
  const item = make("li", from === me ? "says own appear" : "says appear");
  item.append(make("span", "who", from), text);
  append(talk, item);
  byId("empty").hidden = true;
}

function happened(kind, { code, in: seconds }) {
  if (kind === "expiring") tell(`Your sign-in ends in ${seconds} s. You will be asked for your password again.`);
  if (kind !== "close") return;
  if (code === SIGN_IN_AGAIN || code === MAY_NOT) tell(""); // the page says it in its own words
  if (code === SIGN_IN_AGAIN) {
    const name = me;
    show({ user: null });
    explain("Your sign-in has ended. Please sign in again.");
    byId("name").value = name;
    byId("password").focus();
  } else if (code === MAY_NOT) {
    byId("talking").hidden = true;
    byId("role").textContent = "You are signed in, but you may not be here. Ask whoever runs this for the role.";
  }
}

function explain(text) {
  byId("why").textContent = text;
  byId("why").hidden = !text;
}
