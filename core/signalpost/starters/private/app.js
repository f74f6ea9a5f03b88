// Private messages: {from, text} comes in, {sent, to} is what has arrived, {error} is what has not.

import { append, join, make, onSubmit, tell, withName } from "./page.js";

const MOST_SAID = 500; // of one conversation

const byId = (id) => document.getElementById(id);
/** By name in lower case, as the server compares them: {name, said: [{text, own}], unread}. */
const conversations = new Map();
let open = null;
let send = () => false;

withName(byId("enter"), (name) => {
  byId("desk").hidden = false;
  byId("me").textContent = name;
  send = join(`/users/${encodeURIComponent(name)}`, received);
  byId("to").focus();
});

onSubmit(byId("find"), (name) => {
  show(conversationWith(name));
  setTimeout(() => byId("text").focus()); // after the form has taken the focus
});
onSubmit(byId("composer"), (text) => send({ to: open.name, message: text }));

function received({ from, text, sent, to, error }) {
  if (error !== undefined) tell(error);
  else if (from !== undefined) add(conversationWith(from), { text, own: false });
  else add(conversationWith(to), { text: sent, own: true });
}

function conversationWith(name) {
  const key = name.toLowerCase();
  if (!conversations.has(key)) conversations.set(key, { name, said: [], unread: 0 });
  return conversations.get(key);
}

function add(conversation, message) {
  conversation.said.push(message);
  if (conversation.said.length > MOST_SAID) conversation.said.shift();
  if (open === null) show(conversation);
  else if (open === conversation) say(message);
  else conversation.unread += 1;
  listPeople();
}

function show(conversation) {
  open = conversation;
  open.unread = 0;
  byId("conversation").hidden = false;
  byId("peer").textContent = open.name;
  byId("talk").replaceChildren();
  open.said.forEach(say);
  listPeople();
}

function say({ text, own }) {
  append(byId("talk"), make("li", own ? "says own appear" : "says appear", text));
}

function listPeople() {
  const buttons = [...conversations.values()].map((each) => {
    const button = make("button", "person quiet", each.name);
    button.type = "button";
    button.setAttribute("aria-pressed", String(each === open));
    if (each.unread) button.append(make("span", "unread", String(each.unread)));
    button.addEventListener("click", () => show(each));
    const item = make("li");
    item.append(button);
    return item;
  });
  byId("people").replaceChildren(...buttons);
}
