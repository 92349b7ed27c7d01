// Which photos are shown, in which order.

// Scores of one folder lie close together: the sliders span what occurs.
const STEP = 0.05;
const toStep = (score, round) => Number((round(score / STEP) * STEP).toFixed(2));
const means = scored.map(({ mean }) => mean);
const LOW = scored.length ? toStep(Math.min(...means), Math.floor) : LOWEST_VOTE;
const HIGH = scored.length
  ? Math.max(toStep(Math.max(...means), Math.ceil), toStep(LOW + STEP, Math.round)) : HIGHEST_VOTE;

const orders = {
  best: (a, b) => a.rank - b.rank,
  worst: (a, b) => b.rank - a.rank,
  disputed: (a, b) => b.std - a.std,
  name: (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }),
  // Photos of an unknown time come last.
  oldest: (a, b) => (a.taken ?? "~") < (b.taken ?? "~") ? -1 : (a.taken ?? "~") > (b.taken ?? "~") ? 1 : 0,
  newest: (a, b) => (a.taken ?? "") > (b.taken ?? "") ? -1 : (a.taken ?? "") < (b.taken ?? "") ? 1 : 0,
};

const markFilters = {
  all: () => true,
  picked: (photo) => photo.flag === PICK,
  rejected: (photo) => photo.flag === REJECT,
  kept: (photo) => photo.flag !== REJECT,
  unmarked: (photo) => !isMarked(photo),
  ...Object.fromEntries([1, 2, 3, 4, 5].map((least) =>
    [`stars${least}`, (photo) => photo.stars >= least])),
};

const FACETS = ["folder", "day", "camera", "reasons"];
const facetValues = (photo, name) => [photo[name] ?? []].flat();

function show() {
  const low = Number(byId("low").value), high = Number(byId("high").value);
  const wanted = byId("find").value.toLowerCase();
  const all = low <= LOW + STEP / 2 && high >= HIGH - STEP / 2;
  const facets = FACETS.map((name) => [name, byId(name).value]).filter(([, value]) => value);
  const marked = markFilters[byId("marked").value];
  const order = orders[byId("sort").value];
  const matches = scored
    .filter((photo) => all || (photo.mean >= low && photo.mean <= high))
    .filter((photo) => photo.name.toLowerCase().includes(wanted))
    .filter((photo) => facets.every(([name, value]) => facetValues(photo, name).includes(value.slice(1))))
    .filter(marked)
    .sort((a, b) => order(a, b) || a.index - b.index);
  const families = new Map();
  for (const photo of matches) {
    const family = photo.group ?? `alone ${photo.index}`;
    if (families.has(family)) families.get(family).push(photo);
    else families.set(family, [photo]);
  }
  shown = [...families.values()].flatMap((members) => {
    // Whatever the order of the page, a group stands under its best.
    members.sort((a, b) => orders.best(a, b) || a.index - b.index);
    const many = members.length > 1, unfolded = many && open.has(members[0].group);
    members.forEach((photo, index) => {
      photo.folds = many && index === 0 ? members.length : 0;
      photo.unfolded = unfolded;
    });
    return unfolded ? members : members.slice(0, 1);
  });
  layOut();
  draw();
  redress(shown);
  byId("between").textContent = all ? "all scores" : `${low.toFixed(2)} – ${high.toFixed(2)}`;
  byId("nothing").hidden = matches.length > 0 || scored.length === 0;
  summarise(matches.length);
  for (const bin of byId("spread").children) {
    bin.classList.toggle("in", bin.dataset.high > low && bin.dataset.low < high);
  }
  const unfold = byId("unfold");
  unfold.setAttribute("aria-pressed", open.size === groups.size);
  unfold.textContent = open.size === groups.size ? "Fold all" : "Unfold all";
}

function summarise(matching) {
  const failed = photos.length - scored.length;
  const parts = [matching === scored.length
    ? count(scored.length, "photo") : `${matching} of ${count(scored.length, "photo")}`];
  if (groups.size) parts.push(count(groups.size, "group"));
  if (failed) parts.push(`${failed} not scored`);
  const others = Object.entries(page.left_out).map(([kind, number]) => `${number} x ${kind}`);
  if (others.length) parts.push(`left out: ${others.join(", ")}`);
  byId("summary").textContent = parts.join(" · ");
}

function countMarks() {
  const number = (filter) => scored.filter(markFilters[filter]).length;
  const parts = [];
  for (const [filter, text] of [["picked", "picked"], ["rejected", "rejected"], ["stars1", "starred"]]) {
    if (number(filter)) parts.push(`${number(filter)} ${text}`);
  }
  if (pairs.length) parts.push(count(pairs.length, "pair"));
  byId("counter").textContent = parts.join(" · ");
}

function drawSpread() {
  const bins = new Array(36).fill(0), step = (HIGH - LOW) / bins.length;
  for (const { mean } of scored) {
    bins[Math.max(0, Math.min(bins.length - 1, Math.floor((mean - LOW) / step)))]++;
  }
  const most = Math.max(...bins, 1);
  bins.forEach((number, index) => {
    const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const height = number && Math.max(1.5, 19 * number / most);
    const width = 90 / bins.length;
    for (const [key, value] of Object.entries({
      x: index * width, y: 20 - height, width: width * 0.82, height,
    })) bar.setAttribute(key, value);
    bar.dataset.low = LOW + index * step;
    bar.dataset.high = LOW + (index + 1) * step;
    byId("spread").append(bar);
  });
}

/** A menu of the values that occur; hidden where all photos have the same. */
function fillFacet(name) {
  const values = [...new Set(scored.flatMap((photo) => facetValues(photo, name)))];
  values.sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
  for (const value of values) {
    const option = make("option", "", value || "(here)");
    option.value = `=${value}`;
    byId(name).append(option);
  }
  const same = scored.every((photo) => facetValues(photo, name).length === values.length);
  byId(name).closest("label").hidden = values.length < 2 && same;
}

function resetFilters() {
  byId("low").value = LOW;
  byId("high").value = HIGH;
  byId("find").value = "";
  byId("marked").value = "all";
  for (const name of FACETS) byId(name).value = "";
  show();
}
