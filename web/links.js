// Links in what people write: addresses of the web become <a>, all else stays text. Nothing here makes markup.

// An address ends at a blank, at what marks up or quotes, and at what cannot be seen: there it could pretend to be
// another one.
const ADDRESS = /\bhttps?:\/\/[^\s<>"`\p{Cc}\p{Cf}]+/giu;
const ENDS_A_SENTENCE = new Set(".,;:!?'’”»*…");
const CLOSES = { ")": "(", "]": "[", "}": "{" };

/** The nodes of a text: text nodes, and an <a> for each address of the web. */
export function withLinks(text) {
  const nodes = [];
  let end = 0;
  for (const { 0: found, index } of text.matchAll(ADDRESS)) {
    const address = withoutEnding(found);
    const link = linkTo(address);
    if (!link) continue;
    nodes.push(text.slice(end, index), link);
    end = index + address.length;
  }
  nodes.push(text.slice(end));
  return nodes.filter((node) => node !== "");
}

/** An address without what belongs to the sentence around it. A bracket belongs to the address if it was opened there. */
function withoutEnding(address) {
  const count = {};
  for (const each of address) count[each] = (count[each] ?? 0) + 1;
  let end = address.length;
  for (; end > 0; end -= 1) {
    const last = address[end - 1];
    const lonely = last in CLOSES && count[last] > (count[CLOSES[last]] ?? 0);
    if (!lonely && !ENDS_A_SENTENCE.has(last)) break;
    count[last] -= 1;
  }
  return address.slice(0, end);
}

function linkTo(address) {
  if (!URL.canParse(address)) return null;
  const link = document.createElement("a");
  link.href = address;
  link.textContent = address;
  link.target = "_blank";
  link.rel = "noopener noreferrer nofollow"; // where one goes from here, the other page need not know
  return link;
}
