// Rows of one height, as wide as the page. Only the cards near the view are elements: ten thousand
// photos cost a browser no more than fifty.

const grid = byId("grid");
const MARGIN = 900; // pixels above and below the view that are drawn ahead
const FLATTEST = 0.8, TALLEST = 1.75; // rows, of the height that is wanted
let shown = [];
let rows = []; // { top, height, first, end, lefts }
let current; // the photo that keys are about
let metrics;

// Very tall and very wide pictures are cropped in the grid; the viewer shows them whole.
function shape(photo) {
  const [width, height] = photo.size ?? [3, 2];
  return Math.min(2.6, Math.max(0.66, width / height));
}

function layOut() {
  const style = getComputedStyle(grid);
  const length = (name) => parseFloat(style.getPropertyValue(name));
  const width = grid.clientWidth, gap = length("--gap");
  const wanted = length("--row"), caption = length("--caption");
  metrics = { caption, gap };
  rows = [];
  let first = 0, shapes = 0, top = 0;
  const close = (end, height) => {
    const lefts = [];
    let left = 0;
    for (let index = first; index < end; index++) {
      shown[index].row = rows.length;
      lefts.push(left);
      left += shape(shown[index]) * height + gap;
    }
    rows.push({ top, height, first, end, lefts });
    top += height + caption + gap;
    first = end;
    shapes = 0;
  };
  const height = (end, sum) => (width - gap * (end - first - 1)) / sum;
  shown.forEach((photo, index) => {
    // A wide picture would press those before it flat: it begins the next row.
    if (index > first && height(index + 1, shapes + shape(photo)) < FLATTEST * wanted
      && height(index, shapes) < TALLEST * wanted) close(index, height(index, shapes));
    shapes += shape(photo);
    if (height(index + 1, shapes) <= wanted) close(index + 1, height(index + 1, shapes));
  });
  if (first < shown.length) close(shown.length, wanted);
  grid.style.height = `${top}px`;
  shown.forEach((photo, index) => { photo.place = index; });
}

/** Puts the cards near the view into the page, in their order, and takes the others out. */
function draw() {
  const start = -grid.getBoundingClientRect().top - MARGIN;
  const end = start + innerHeight + 2 * MARGIN;
  const wanted = [];
  for (let index = rowAt(start); index < rows.length && rows[index].top < end; index++) {
    for (let place = rows[index].first; place < rows[index].end; place++) wanted.push(shown[place]);
  }
  // The focus would be lost with the card that has it.
  if (current && shown[current.place] === current && !wanted.includes(current)) {
    if (wanted.length && current.place < wanted[0].place) wanted.unshift(current);
    else wanted.push(current);
  }
  const kept = new Set(wanted);
  for (const card of [...grid.children]) {
    const photo = photos[card.dataset.index];
    if (kept.has(photo)) continue;
    card.remove();
    photo.card = undefined;
  }
  let next = grid.firstChild;
  for (const photo of wanted) {
    photo.card ??= makeCard(photo);
    put(photo);
    if (photo.card === next) next = next.nextSibling;
    else grid.insertBefore(photo.card, next);
  }
}

/** The row at a height: the last that begins above it. */
function rowAt(height) {
  let low = 0, high = rows.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (rows[middle].top <= height) low = middle;
    else high = middle - 1;
  }
  return low;
}

function put(photo) {
  const row = rows[photo.row], { style } = photo.card;
  style.transform = `translate(${row.lefts[photo.place - row.first]}px, ${row.top}px)`;
  style.width = `${shape(photo) * row.height}px`;
  style.height = `${row.height + metrics.caption}px`;
  photo.card.setAttribute("aria-posinset", photo.place + 1);
  photo.card.setAttribute("aria-setsize", shown.length);
  photo.card.tabIndex = photo === (current ?? shown[0]) ? 0 : -1;
}

function focusOn(photo) {
  if (!photo || shown[photo.place] !== photo) return;
  current = photo;
  const row = rows[photo.row];
  const top = grid.getBoundingClientRect().top + row.top;
  const header = document.querySelector("header");
  const covered = getComputedStyle(header).position === "sticky" ? header.offsetHeight : 0;
  const bottom = top + row.height + metrics.caption;
  if (top < covered + metrics.gap) scrollBy(0, top - covered - metrics.gap);
  else if (bottom > innerHeight) scrollBy(0, bottom - innerHeight + metrics.gap);
  draw();
  photo.card.focus({ preventScroll: true });
}

function move(key) {
  if (!current || shown[current.place] !== current) return focusOn(shown[0]);
  if (key === "ArrowRight") return focusOn(shown[current.place + 1]);
  if (key === "ArrowLeft") return focusOn(shown[current.place - 1]);
  // Up and down: the card of the next row whose middle is nearest.
  const middle = (photo) => {
    const row = rows[photo.row];
    return row.lefts[photo.place - row.first] + shape(photo) * row.height / 2;
  };
  const row = rows[current.row + (key === "ArrowDown" ? 1 : -1)];
  if (!row) return undefined;
  const from = middle(current);
  const away = (photo) => Math.abs(middle(photo) - from);
  return focusOn(shown.slice(row.first, row.end).reduce((a, b) => (away(b) < away(a) ? b : a)));
}

let drawing = false;
function drawSoon() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    draw();
  });
}
addEventListener("scroll", drawSoon, { passive: true });
let widthBefore;
new ResizeObserver(() => {
  if (grid.clientWidth === widthBefore) return drawSoon();
  widthBefore = grid.clientWidth;
  layOut();
  draw();
}).observe(document.body);
