// The photos, the elements made of them, and the thumbnails.

const byId = (id) => document.getElementById(id);
const page = JSON.parse(byId("photos").textContent);
const { photos } = page;
const scored = photos.filter((photo) => photo.p);
const LOWEST_VOTE = 1, HIGHEST_VOTE = 10;

photos.forEach((photo, index) => {
  photo.index = index;
  const parts = photo.name.split(/[\\/]/);
  photo.file = parts.pop() || photo.name;
  photo.folder = parts.join("/");
  photo.day = photo.taken?.slice(0, 10);
});

/** An element with a class and text; text is never read as markup. */
function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

function button(className, text, label, action) {
  const element = make("button", className, text);
  element.type = "button";
  element.setAttribute("aria-label", label);
  element.title = label;
  element.addEventListener("click", (event) => {
    event.stopPropagation();
    action();
  });
  return element;
}

const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

/** A file's name that loses letters of its middle where it is too long: endings tell frames apart. */
function shortened(text) {
  const element = make("span", "shortened");
  const cut = Math.max(0, text.length - 9);
  const end = make("span", "end");
  end.append(make("bdi", "", text.slice(cut)));
  element.append(make("span", "start", text.slice(0, cut)), end);
  return element;
}

// A block of thumbnails is parsed when the first of its photos comes near the view.
const blocks = document.getElementsByClassName("thumbnails");
const parsed = new Map();
function thumbnail(photo) {
  if (photo.thumbnail) return photo.thumbnail; // not inside the page, but on its server
  const number = Math.floor(photo.index / page.block);
  if (!parsed.has(number)) {
    parsed.set(number, JSON.parse(blocks[number].textContent));
    blocks[number].textContent = ""; // the text is not needed twice
  }
  return parsed.get(number)[photo.index % page.block];
}

/** P(a is better than b) for votes drawn from both distributions, ties split. */
function probabilityBetter(a, b) {
  let chance = 0;
  a.p.forEach((p, vote) => b.p.forEach((q, other) => {
    chance += p * q * (vote > other ? 1 : vote === other ? 0.5 : 0);
  }));
  return chance;
}
