// Picks, rejects, stars and judged pairs: kept by the browser, and by the server where there is one.

const PICK = "pick", REJECT = "reject";
const KEPT = `iq-gallery ${page.id}`;
const byName = new Map(scored.map((photo) => [photo.name, photo]));
let pairs = []; // [winner, loser], photos; the latest judgement of two counts
const undone = []; // what marks were, for Ctrl-Z: [photo, flag, stars][] a step
const onMarks = []; // called with the photos whose marks changed

const isMarked = (photo) => Boolean(photo.flag || photo.stars);

/** Marks photos in one step: [photo, { flag, stars }][], of which either may be left out. */
function mark(...changes) {
  undone.push(changes.map(([photo]) => [photo, photo.flag, photo.stars]));
  for (const [photo, marks] of changes) Object.assign(photo, marks);
  marksChanged(changes.map(([photo]) => photo));
}

function undoMark() {
  const before = undone.pop();
  if (!before) return;
  for (const [photo, flag, stars] of before) Object.assign(photo, { flag, stars });
  marksChanged(before.map(([photo]) => photo));
}

function judge(winner, losers) {
  const same = ([a, b]) => losers.some((loser) =>
    (a === winner && b === loser) || (a === loser && b === winner));
  pairs = [...pairs.filter((pair) => !same(pair)), ...losers.map((loser) => [winner, loser])];
  marksChanged([]);
}

function marksChanged(changed) {
  keepMarks();
  for (const told of onMarks) told(changed);
}

/** What `iq-client apply` reads. */
function marksDocument(chosen) {
  return {
    picks: 1,
    photos: chosen.map(({ name, flag, stars }) => ({ path: name, flag, stars })),
  };
}

function keepMarks() {
  const kept = {
    ...marksDocument(scored.filter(isMarked)),
    pairs: pairs.map(([winner, loser]) => [winner.name, loser.name]),
  };
  if (page.served) {
    send(kept);
    return;
  }
  try {
    localStorage.setItem(KEPT, JSON.stringify(kept));
  } catch {
    say("This browser keeps nothing of this page: export before you close it");
  }
}

function keptHere() {
  try {
    return JSON.parse(localStorage.getItem(KEPT));
  } catch {
    return null; // refused, as in a private window
  }
}

async function readMarks() {
  const kept = page.served ? await receive() : keptHere();
  for (const photo of scored) Object.assign(photo, { flag: null, stars: 0 });
  for (const { path, flag, stars } of kept?.photos ?? []) {
    const photo = byName.get(path);
    if (photo) Object.assign(photo, { flag, stars });
  }
  pairs = (kept?.pairs ?? [])
    .map((names) => names.map((name) => byName.get(name)))
    .filter((pair) => pair.every(Boolean));
}

let said;
/** Shows a sentence for a while, over an open dialog too. */
function say(text) {
  const element = byId("said");
  element.textContent = text;
  element.hidePopover();
  element.showPopover();
  clearTimeout(said);
  said = setTimeout(() => element.hidePopover(), 6000);
}
