// One zoom for all panes: what is seen of one picture is seen of the others.

let magnified = 1; // 1 shows a picture whole
let centre = { x: 0.5, y: 0.5 }; // of what is seen, as shares of the picture

const views = () => [...document.querySelectorAll("#panes .view")];

/** Where a view's picture stands, in pixels; nothing before it is loaded. */
function placed(view, times = magnified) {
  const image = view.querySelector("img");
  if (!image?.naturalWidth) return undefined;
  const { clientWidth, clientHeight } = view;
  const whole = Math.min(clientWidth / image.naturalWidth, clientHeight / image.naturalHeight);
  const width = image.naturalWidth * whole * times, height = image.naturalHeight * whole * times;
  const start = (room, size, share) => size <= room
    ? (room - size) / 2 : Math.min(0, Math.max(room - size, room / 2 - share * size));
  return {
    image, whole, width, height,
    left: start(clientWidth, width, centre.x), top: start(clientHeight, height, centre.y),
  };
}

function drawZoom() {
  for (const view of views()) {
    const place = placed(view);
    if (!place) continue;
    for (const side of ["left", "top", "width", "height"]) {
      place.image.style[side] = `${place[side]}px`;
    }
    view.toggleAttribute("data-magnified", magnified > 1);
  }
  const place = views()[0] && placed(views()[0]);
  byId("zoom").textContent = place
    ? `${Math.round(100 * place.whole * magnified * devicePixelRatio)} %` : "100 %";
}

/** The magnification at which a pixel of the picture is one of the screen. */
function fullSize(view) {
  const place = placed(view);
  return place ? 1 / (place.whole * devicePixelRatio) : 1;
}

/** Magnifies; what is at the point, in pixels of the view, stays there. */
function zoomTo(times, view, point = { x: view.clientWidth / 2, y: view.clientHeight / 2 }) {
  const before = placed(view);
  if (!before) return;
  const share = { x: (point.x - before.left) / before.width, y: (point.y - before.top) / before.height };
  magnified = Math.min(Math.max(times, Math.min(1, fullSize(view))), 32);
  const { width, height } = placed(view);
  centre = {
    x: (view.clientWidth / 2 - point.x) / width + share.x,
    y: (view.clientHeight / 2 - point.y) / height + share.y,
  };
  keepInside(view);
  drawZoom();
}

/** Moves the centre back to where a view can show it: dragging on would do nothing for a while. */
function keepInside(view) {
  const place = placed(view);
  centre = {
    x: (view.clientWidth / 2 - place.left) / place.width,
    y: (view.clientHeight / 2 - place.top) / place.height,
  };
}

function toggleZoom(view, point) {
  zoomTo(Math.abs(magnified - 1) < 0.001 ? fullSize(view) : 1, view, point);
}

function resetZoom() {
  magnified = 1;
  centre = { x: 0.5, y: 0.5 };
}

function pan(view, dx, dy) {
  const place = placed(view);
  if (!place) return;
  centre = { x: centre.x - dx / place.width, y: centre.y - dy / place.height };
  keepInside(view);
  drawZoom();
}

/** Wheel and two fingers zoom, dragging pans, a click goes to 100 % and back. */
function watchPointers(view) {
  const down = new Map();
  let moved = 0;
  const at = (event) => {
    const box = view.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  view.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomTo(magnified * Math.exp(-event.deltaY / 400), view, at(event));
  }, { passive: false });
  view.addEventListener("pointerdown", (event) => {
    view.setPointerCapture(event.pointerId);
    down.set(event.pointerId, at(event));
    moved = down.size > 1 ? Infinity : 0;
  });
  view.addEventListener("pointermove", (event) => {
    const before = down.get(event.pointerId);
    if (!before) return;
    const now = at(event);
    const [dx, dy] = [now.x - before.x, now.y - before.y];
    if (down.size === 1) {
      moved += Math.hypot(dx, dy);
      if (moved > 4) pan(view, dx, dy);
    } else {
      const [other] = [...down].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
      const apart = (point) => Math.max(1, Math.hypot(point.x - other.x, point.y - other.y));
      zoomTo(magnified * apart(now) / apart(before), view, other);
    }
    down.set(event.pointerId, now);
  });
  const up = (event) => {
    if (!down.delete(event.pointerId)) return;
    if (event.type === "pointerup" && moved <= 4) toggleZoom(view, at(event));
  };
  view.addEventListener("pointerup", up);
  view.addEventListener("pointercancel", up);
}
addEventListener("resize", drawZoom);
