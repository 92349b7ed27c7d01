// The viewer: one photo; two to four side by side; or a burst, two of it at a time.

const viewer = byId("viewer");
const MOST_COMPARED = 4;
let viewed = []; // the photos in the panes
let active = 0; // the pane that keys are about
let burst = null; // the members that arrows go through

function viewOne(photo) {
  resetZoom();
  burst = null;
  drawPanes([photo], 0);
}

function viewSideBySide(chosen) {
  resetZoom();
  burst = null;
  drawPanes(chosen, 0);
}

function viewBurst(photo) {
  const members = groups.get(photo.group);
  if (!members || members.length < 2) return;
  resetZoom();
  burst = [...members].sort((a, b) => orders.oldest(a, b) || orders.name(a, b));
  const [best, second] = [...members].sort(orders.best);
  drawPanes([best, second], 0);
}

function drawPanes(chosen, activated) {
  viewed = chosen;
  active = activated;
  byId("panes").replaceChildren(...viewed.map(makePane));
  byId("panes").dataset.count = viewed.length;
  byId("verdict").textContent = verdict();
  const place = viewed[0].place;
  byId("before").disabled = viewed.length === 1 && place === 0;
  byId("after").disabled = viewed.length === 1 && place === shown.length - 1;
  byId("before").hidden = byId("after").hidden = viewed.length > 1 && !burst;
  if (!viewer.open) viewer.showModal();
  drawZoom();
  markActive();
}

function verdict() {
  if (viewed.length === 1) return `${viewed[0].place + 1} of ${shown.length}`;
  const ordinals = ["first", "second", "third", "fourth"];
  const told = burst
    ? `${viewed.map((photo) => burst.indexOf(photo) + 1).join(" and ")} of a burst of ${burst.length} · `
    : "";
  if (viewed.length > 2) {
    const best = viewed.reduce((a, b) => (b.mean > a.mean ? b : a));
    return `The ${ordinals[viewed.indexOf(best)]} has the highest score`;
  }
  const chance = probabilityBetter(...viewed);
  const percent = Math.round(100 * Math.max(chance, 1 - chance));
  return told + (percent === 50
    ? "Neither is better: 50 % to 50 %"
    : `The ${ordinals[chance > 0.5 ? 0 : 1]} is better: ${percent} % to ${100 - percent} %`);
}

function makePane(photo, index) {
  const element = make("figure", "pane");
  const best = viewed.length > 1 && viewed.every((other) =>
    other === photo || Math.round(100 * probabilityBetter(photo, other)) > 50);
  element.classList.toggle("better", best);
  const view = make("div", "view");
  if (photo.size) {
    const image = make("img");
    image.alt = photo.name;
    image.draggable = false;
    image.onload = drawZoom;
    image.src = thumbnail(photo);
    view.append(image);
    if (photo.original) {
      // Where the file itself can be reached it takes the thumbnail's place.
      const full = new Image();
      full.alt = photo.name;
      full.draggable = false;
      full.onload = () => {
        image.replaceWith(full);
        drawZoom();
      };
      full.src = photo.original;
    }
  } else {
    view.append(make("span", "none", "no preview"));
  }
  watchPointers(view);
  const score = make("div", "score", `${photo.mean.toFixed(2)} `);
  const better = photo.percentile === undefined ? "" : ` · ${betterThan(photo)}`;
  score.append(make("small", "", `± ${photo.std.toFixed(2)}${better} · #${photo.rank}`));
  const path = make("div", "path");
  if (photo.original) {
    const link = make("a");
    link.append(shortened(photo.file));
    link.title = photo.name;
    link.href = photo.original;
    link.target = "_blank";
    link.rel = "noopener";
    path.append(link);
  } else {
    path.append(shortened(photo.file));
    path.title = photo.name;
  }
  const more = make("div", "more", facts(photo).join(" · "));
  more.title = more.textContent;
  const text = make("div", "text");
  text.append(score, path, more, markButtons(photo));
  if (viewed.length > 1) text.append(judgeButtons(index));
  const histogram = make("div", "histogram");
  histogram.title = photo.p.map((p, vote) => `${vote + 1}: ${(100 * p).toFixed(1)} %`).join("\n");
  histogram.append(bars(photo), votes());
  const about = make("div", "about");
  about.append(histogram, text);
  element.append(view, about);
  element.addEventListener("pointerdown", () => activate(index));
  element.addEventListener("focusin", () => activate(index));
  return element;
}

function judgeButtons(index) {
  const element = make("div", "judge");
  const better = button("", "Better", "This one is better (Enter)", () => {
    activate(index);
    preferActive();
  });
  element.append(better);
  if (burst) {
    element.append(button("", "Keep, next group", "Keep, next group (k)", () => {
      activate(index);
      keepActive();
    }));
  }
  return element;
}

function activate(index) {
  active = Math.max(0, Math.min(viewed.length - 1, index));
  markActive();
}

function markActive() {
  [...byId("panes").children].forEach((element, index) =>
    element.classList.toggle("active", viewed.length > 1 && index === active));
}

/** Arrows: the next photo; in a burst the next one beside the active; else the next pane. */
function step(by) {
  if (burst) {
    const other = 1 - active;
    let place = burst.indexOf(viewed[other]);
    do place += by; while (burst[place] === viewed[active]);
    if (!burst[place]) return;
    const next = [...viewed];
    next[other] = burst[place];
    drawPanes(next, active);
  } else if (viewed.length > 1) {
    activate(active + by);
  } else {
    const next = shown[viewed[0].place + by];
    if (next) viewOne(next);
  }
}

/** Notes that the active photo is better than those beside it; a burst goes on to the next one. */
function preferActive() {
  if (viewed.length < 2) return;
  const winner = viewed[active];
  judge(winner, viewed.filter((photo) => photo !== winner));
  const judged = (photo) => photo === winner || pairs.some((pair) =>
    pair.includes(winner) && pair.includes(photo));
  const beaten = new Set(pairs.filter((pair) => burst?.includes(pair[0])).map((pair) => pair[1]));
  const next = burst?.find((photo) => !judged(photo) && !beaten.has(photo));
  if (next) drawPanes([winner, next], 0);
  say(burst && !next
    ? `${winner.file} is the best of this burst: k keeps it`
    : `${winner.file} is better: ${count(pairs.length, "pair")} noted`);
}

/** Picks the active photo of a burst, rejects what has no mark of the others, opens the next. */
function keepActive() {
  if (!burst) return;
  const winner = viewed[active], { group } = winner;
  mark([winner, { flag: PICK }], ...burst
    .filter((photo) => photo !== winner && !photo.flag)
    .map((photo) => [photo, { flag: REJECT }]));
  const order = [...groups.keys()].filter((key) => groups.get(key).length > 1);
  const next = order[order.indexOf(group) + 1];
  if (next !== undefined) {
    viewBurst(groups.get(next)[0]);
  } else {
    leave();
    say("That was the last group");
  }
}

// Not in a "close" listener: that runs later, when the next key may have moved the focus or
// opened the viewer again.
function leave() {
  viewer.close();
  byId("panes").replaceChildren();
  show(); // marks may have moved photos out of the filter
  const lead = shown.find((photo) => photo.group !== undefined && photo.group === viewed[0].group);
  focusOn(shown.includes(viewed[0]) ? viewed[0] : lead);
}
viewer.addEventListener("cancel", (event) => {
  event.preventDefault();
  leave();
});

// --- choosing what to compare

let compared = [];
function chooseToCompare(photo) {
  if (compared.includes(photo)) {
    compared = compared.filter((other) => other !== photo);
  } else if (compared.length === MOST_COMPARED) {
    say(`${MOST_COMPARED} photos at most: take one out before`);
  } else {
    compared = [...compared, photo];
  }
  showCompared([photo]);
}

function showCompared(changed) {
  redress(changed);
  byId("tray").hidden = compared.length === 0;
  byId("compare").hidden = compared.length < 2;
  byId("chosen").textContent = compared.length === 1
    ? "Choose another one" : count(compared.length, "photo");
}

function clearCompared() {
  const before = compared;
  compared = [];
  showCompared(before);
}
