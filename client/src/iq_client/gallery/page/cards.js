// A photo's card: picture, score, name, marks.

function bars(photo) {
  const element = make("div", "bars");
  const most = Math.max(...photo.p);
  for (const p of photo.p) {
    const bar = make("i");
    bar.style.height = `${100 * p / most}%`;
    element.append(bar);
  }
  return element;
}

function votes() {
  const element = make("div", "votes");
  for (let vote = LOWEST_VOTE; vote <= HIGHEST_VOTE; vote++) element.append(make("span", "", vote));
  return element;
}

/** The mean as a dot between the lowest and the highest of the page. */
function scale(photo) {
  const element = make("div", "scale");
  const dot = make("b");
  dot.style.left = `${100 * (photo.mean - LOW) / (HIGH - LOW)}%`;
  element.append(dot);
  return element;
}

function betterThan(photo) {
  return `better than ${photo.percentile} % of ordinary photos`;
}

/** Folder, day and camera, as far as they are known. */
function facts(photo) {
  return [photo.folder, photo.taken?.replace("T", " "), photo.camera].filter(Boolean);
}

/** The same for a card: a folder by its last part, where there are several. */
function factsOnCard(photo) {
  const folder = severalFolders && photo.folder.split(/[\\/]/).pop();
  return [folder, ...facts({ ...photo, folder: "" })].filter(Boolean).join(" · ");
}
const severalFolders = new Set(scored.map((photo) => photo.folder)).size > 1;
const anyFacts = scored.some(factsOnCard);

/** Buttons for one photo's marks, the same on a card and in the viewer. */
function markButtons(photo) {
  const element = make("div", "marks");
  const flagButton = (flag, text, label) => {
    const made = button(flag, text, label, () =>
      mark([photo, { flag: photo.flag === flag ? null : flag }]));
    made.setAttribute("aria-pressed", photo.flag === flag);
    return made;
  };
  const stars = make("span", "stars");
  for (let number = 1; number <= 5; number++) {
    const star = button(number <= photo.stars ? "star on" : "star", number <= photo.stars ? "★" : "☆", count(number, "star"), () =>
      mark([photo, { stars: photo.stars === number ? 0 : number }]));
    star.setAttribute("aria-pressed", photo.stars === number);
    stars.append(star);
  }
  element.append(flagButton(PICK, "✓", "Pick (p)"), flagButton(REJECT, "✕", "Reject (x)"), stars);
  if (photo.stars) element.append(make("span", "few", `★${photo.stars}`));
  return element;
}

function makeCard(photo) {
  const card = make("div", "card");
  card.dataset.index = photo.index;
  card.setAttribute("role", "listitem");
  const picture = make("div", "photo");
  if (photo.size) {
    const image = make("img");
    image.alt = "";
    image.decoding = "async";
    image.src = thumbnail(photo);
    picture.append(image);
  } else {
    picture.append(make("span", "none", "no preview"));
  }
  if (photo.reasons) {
    const chips = make("div", "reasons");
    chips.append(...photo.reasons.map((reason) => make("span", "", reason)));
    picture.append(chips);
  }
  const numbers = make("div", "numbers");
  const more = make("span", "more");
  more.append(make("span", "std", `± ${photo.std.toFixed(2)}`));
  if (photo.percentile !== undefined) {
    const share = make("span", "percentile", `${photo.percentile} %`);
    share.title = betterThan(photo);
    more.append(share);
  }
  numbers.append(make("span", "mean", photo.mean.toFixed(2)), more, make("span", "rank", `#${photo.rank}`));
  const name = make("div", "name");
  name.append(shortened(photo.file));
  name.title = [photo.name, ...facts(photo).slice(photo.folder ? 1 : 0)].join("\n");
  const caption = make("div", "caption");
  caption.append(numbers, scale(photo), name);
  if (anyFacts) caption.append(make("div", "facts", factsOnCard(photo)));
  card.append(picture, caption);
  dress(card, photo);
  return card;
}

/** What changes on a card: its marks, its group, its place in a comparison. */
function dress(card, photo) {
  for (const old of card.querySelectorAll(":scope > button, .marks")) old.remove();
  card.dataset.flag = photo.flag ?? "";
  card.classList.toggle("lead", photo.folds > 0);
  card.classList.toggle("member", Boolean(photo.unfolded) && !photo.folds);
  card.toggleAttribute("data-open", Boolean(photo.unfolded));
  card.setAttribute("aria-label", [
    photo.name, `rank ${photo.rank}`,
    `score ${photo.mean.toFixed(2)} ± ${photo.std.toFixed(2)}`,
    ...photo.reasons ?? [],
    ...photo.flag === PICK ? ["picked"] : photo.flag === REJECT ? ["rejected"] : [],
    ...photo.stars ? [count(photo.stars, "star")] : [],
    ...photo.folds ? [`${photo.kind ?? "group"} of ${photo.folds}`] : [],
  ].join(", "));
  card.querySelector(".caption").append(markButtons(photo));
  const chosen = compared.includes(photo);
  const choose = button("choose", chosen ? "−" : "+", "Compare (c)", () => chooseToCompare(photo));
  choose.setAttribute("aria-pressed", chosen);
  card.append(choose);
  if (photo.folds) card.append(foldButton(photo));
  // The keys do the same from the card: a step of Tab leads past all of them.
  for (const each of card.querySelectorAll("button")) each.tabIndex = -1;
}

function redress(changed) {
  for (const photo of changed) {
    if (photo.card) dress(photo.card, photo);
  }
}

// One histogram moves to the photo that is pointed at or focused.
const over = make("div", "over");
function showHistogram(event) {
  const card = cardOf(event.target);
  if (!card || over.parentElement === card.firstChild) return;
  over.replaceChildren(bars(photos[card.dataset.index]), votes());
  card.firstChild.append(over);
}

const cardOf = (element) => element?.closest?.(".card");

// --- groups, folded under their best that is shown

const groups = new Map(); // the scored photos of each
for (const photo of scored) {
  if (photo.group === undefined) continue;
  if (groups.has(photo.group)) groups.get(photo.group).push(photo);
  else groups.set(photo.group, [photo]);
}
const open = new Set();

function toggleGroup(photo) {
  if (!groups.has(photo.group)) return;
  if (!open.delete(photo.group)) open.add(photo.group);
  show();
  focusOn(shown.find((other) => other.group === photo.group));
}

function foldButton(photo) {
  const what = photo.kind ?? "group";
  const element = button("fold", photo.unfolded ? "fold" : photo.folds,
    photo.unfolded ? `Fold this ${what} (g)` : `Unfold this ${what} of ${photo.folds} photos (g)`,
    () => toggleGroup(photo));
  if (!photo.unfolded && photo.kind) element.prepend(make("span", "", `${photo.kind} of `));
  else if (!photo.unfolded) element.append(make("span", "", " photos"));
  element.setAttribute("aria-expanded", photo.unfolded);
  return element;
}
