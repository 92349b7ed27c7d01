// Keys and pointers, and the first drawing.

function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
}

function resize(by) {
  byId("size").value = Number(byId("size").value) + by;
  sizeChanged();
}

function sizeChanged() {
  grid.style.setProperty("--row", byId("size").value);
  layOut();
  if (current && shown[current.place] === current) focusOn(current);
  else draw();
}

/** Marks a photo by a key, where it is one of the keys for that. */
function markByKey(key, photo) {
  const flags = { p: PICK, x: REJECT, u: null };
  if (key in flags) mark([photo, { flag: flags[key] }]);
  else if (/^[0-5]$/.test(key)) mark([photo, { stars: Number(key) }]);
  else return false;
  return true;
}

function keyInViewer(key) {
  if (markByKey(key, viewed[active])) return true;
  if (key === "arrowright") step(1);
  else if (key === "arrowleft") step(-1);
  else if (key === "arrowdown") activate(active + 1);
  else if (key === "arrowup") activate(active - 1);
  else if (key === "z" || key === " ") toggleZoom(views()[active]);
  else if (key === "+") zoomTo(magnified * 1.25, views()[active]);
  else if (key === "-") zoomTo(magnified / 1.25, views()[active]);
  else if (key === "enter") preferActive();
  else if (key === "k") keepActive();
  else if (key === "b") viewBurst(viewed[active]);
  else if (key === "c" && viewed.length === 1) {
    chooseToCompare(viewed[0]);
    leave();
  } else if (key === "escape") leave();
  else return false;
  return true;
}

function keyInGrid(key, photo) {
  if (photo && markByKey(key, photo)) return true;
  if (key === "enter" && compared.length > 1 && compared.includes(photo)) viewSideBySide(compared);
  else if ((key === "enter" || key === " ") && photo) viewOne(photo);
  else if (key === "c" && photo) chooseToCompare(photo);
  else if (key === "g" && photo) toggleGroup(photo);
  else if (key === "b" && photo) viewBurst(photo);
  else if (key === "e") openExport();
  else if (key === "+") resize(20);
  else if (key === "-") resize(-20);
  else if (key === "/") byId("find").focus();
  else if (key === "t") switchTheme();
  else if (key === "?") byId("help").showModal();
  else if (key === "escape") clearCompared();
  else return false;
  return true;
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea, #help, #export-dialog");
  if (typing) {
    if (event.key === "Escape" && !event.target.closest("dialog")) event.target.blur();
    return;
  }
  const key = event.key.toLowerCase();
  if ((event.ctrlKey || event.metaKey) && key === "z") {
    undoMark();
    event.preventDefault();
  }
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const onButton = event.target.closest("button, a, summary");
  if (onButton && (key === "enter" || key === " ")) return;
  const photo = cardOf(event.target) && photos[cardOf(event.target).dataset.index];
  if (viewer.open) {
    if (!keyInViewer(key)) return;
  } else if (key.startsWith("arrow")) {
    move(event.key);
  } else if (!keyInGrid(key, photo)) {
    return;
  }
  event.preventDefault();
});

onMarks.push((changed) => {
  redress(changed);
  countMarks();
  if (!viewer.open) return;
  viewed.forEach((photo, index) => {
    if (!changed.includes(photo)) return;
    const pane = byId("panes").children[index];
    pane.querySelector(".marks").replaceWith(markButtons(photo));
  });
});

grid.addEventListener("click", (event) => {
  const card = cardOf(event.target);
  if (card) viewOne(photos[card.dataset.index]);
});
grid.addEventListener("pointerover", (event) => {
  if (event.pointerType !== "touch") showHistogram(event); // a tap opens the viewer, which has it
});
grid.addEventListener("focusin", (event) => {
  const card = cardOf(event.target);
  if (card) {
    if (current?.card) current.card.tabIndex = -1;
    current = photos[card.dataset.index];
    current.card.tabIndex = 0;
  }
  showHistogram(event);
});
grid.addEventListener("pointerleave", () => over.remove());

for (const [end, other, further] of [["low", "high", Math.max], ["high", "low", Math.min]]) {
  byId(end).addEventListener("input", () => {
    byId(other).value = further(byId(other).value, byId(end).value);
    show();
  });
}
for (const id of ["sort", "marked", ...FACETS]) byId(id).addEventListener("change", show);
byId("find").addEventListener("input", show);
byId("size").addEventListener("input", sizeChanged);
for (const [id, action] of Object.entries({
  theme: switchTheme,
  keys: () => byId("help").showModal(),
  export: openExport,
  compare: () => viewSideBySide(compared),
  clear: clearCompared,
  before: () => step(-1),
  after: () => step(1),
  zoom: () => toggleZoom(views()[active]),
  close: leave,
  reset: resetFilters,
  copy: copyExport,
  download: downloadExport,
  unfold: () => {
    if (open.size === groups.size) open.clear();
    else for (const group of groups.keys()) open.add(group);
    show();
  },
})) byId(id).addEventListener("click", action);
for (const id of ["what", "format"]) byId(id).addEventListener("change", drawExport);

for (const photo of photos) {
  if (!photo.error) continue;
  const [code, message] = photo.error;
  const line = make("li");
  line.append(make("code", "", code), photo.name, make("span", "", message));
  byId("failures").querySelector("ul").append(line);
  byId("failures").hidden = false;
}
for (const [id, value] of [["low", LOW], ["high", HIGH]]) {
  Object.assign(byId(id), { min: LOW, max: HIGH, step: STEP });
  byId(id).value = value;
}
FACETS.forEach(fillFacet);
grid.toggleAttribute("data-facts", anyFacts);
byId("unfold").hidden = groups.size === 0;
byId("size").value = parseFloat(getComputedStyle(grid).getPropertyValue("--row"));
drawSpread();
readMarks().then(() => {
  countMarks();
  show();
});
