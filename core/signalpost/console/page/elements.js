// Small helpers around the document. Whatever comes from the server becomes text, and never markup.

const numbers = new Intl.NumberFormat("en");
const UNITS = ["B", "KiB", "MiB", "GiB"];

export function byId(id) {
  return document.getElementById(id);
}

/** Make an element of a class, with a text or other elements in it. */
export function make(name, className = "", ...inside) {
  const element = document.createElement(name);
  if (className !== "") {
    element.className = className;
  }
  element.append(...inside);
  return element;
}

/** Make a button. */
export function button(words, click) {
  const element = make("button", "", words);
  element.type = "button";
  element.addEventListener("click", click);
  return element;
}

/** Make a button that asks once more before it does something. */
export function sureButton(words, click) {
  let timer = 0;
  const calm = () => {
    clearTimeout(timer);
    delete element.dataset.sure;
    text(element, words);
  };
  const element = button(words, () => {
    if (element.dataset.sure === undefined) {
      element.dataset.sure = "";
      text(element, "Sure?");
      timer = setTimeout(calm, 4000);
      return;
    }
    calm();
    click();
  });
  element.addEventListener("blur", calm);
  return element;
}

/** Set a text, unless it is there already: a screen reader would say it again, and a selection would be lost. */
export function text(element, words) {
  if (element.textContent !== words) {
    element.textContent = words;
  }
}

/** Let the children of an element be those of some items, in their order; those that stay are kept, with their focus. */
export function keyed(parent, items, keyOf, create, update) {
  const known = new Map(Array.from(parent.children, (child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let child = known.get(key);
    known.delete(key);
    if (child === undefined) {
      child = create(item);
      child.dataset.key = key;
    }
    update(child, item);
    if (child === place) {
      place = place.nextElementSibling;
    } else {
      parent.insertBefore(child, place);
    }
  }
  for (const child of known.values()) {
    child.remove();
  }
}

/** Make a row of a table, with so many cells. */
export function row(...classes) {
  return make("tr", "", ...classes.map((name) => make("td", name)));
}

export function count(value) {
  return numbers.format(value);
}

/** Return a rate as people read it: 0, 0.4, 12, 3,400. */
export function rate(value) {
  return value === 0 || value >= 10 ? count(Math.round(value)) : value.toFixed(1);
}

export function bytes(value) {
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return unit === 0 ? `${count(value)} B` : `${value.toFixed(value < 10 ? 1 : 0)} ${UNITS[unit]}`;
}

export function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString("en-GB");
}

/** Return how far away a moment is: in 12 s, in 3 min, in 5 h, in 2 d. */
export function distance(seconds) {
  const away = Math.max(0, seconds);
  if (away < 100) {
    return `${Math.round(away)} s`;
  }
  if (away < 6000) {
    return `${Math.round(away / 60)} min`;
  }
  return away < 172_800 ? `${Math.round(away / 3600)} h` : `${Math.round(away / 86_400)} d`;
}

/** Tell how something went that somebody has asked for. */
export function tell(words, how) {
  const told = byId("told");
  clearTimeout(tell.timer);
  told.dataset.how = how;
  told.textContent = words;
  tell.timer = setTimeout(() => {
    told.textContent = "";
  }, 8000);
}
