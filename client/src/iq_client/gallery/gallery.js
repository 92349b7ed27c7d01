"use strict";
{
  const byId = (id) => document.getElementById(id);
  const { block, photos } = JSON.parse(byId("photos").textContent);
  const grid = byId("grid");
  const viewer = byId("viewer");
  const scored = photos.filter((photo) => photo.p);
  const LOWEST = 1, HIGHEST = 10;

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
    element.tabIndex = -1; // the keys c and g do the same from the card
    element.setAttribute("aria-label", label);
    element.addEventListener("click", (event) => {
      event.stopPropagation();
      action();
    });
    return element;
  }

  // --- thumbnails: a block of them is parsed when the first of its photos comes near the view

  const blocks = document.getElementsByClassName("thumbnails");
  const parsed = new Map();
  function thumbnail(photo) {
    const number = Math.floor(photo.index / block);
    if (!parsed.has(number)) {
      parsed.set(number, JSON.parse(blocks[number].textContent));
      blocks[number].textContent = ""; // the text is not needed twice
    }
    return parsed.get(number)[photo.index % block];
  }

  // --- cards

  const place = (score) => `${100 * (score - LOWEST) / (HIGHEST - LOWEST)}%`;

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
    for (let vote = LOWEST; vote <= HIGHEST; vote++) element.append(make("span", "", vote));
    return element;
  }

  function scale(photo) {
    const element = make("div", "scale");
    const band = make("i");
    const low = Math.max(LOWEST, photo.mean - photo.std);
    const high = Math.min(HIGHEST, photo.mean + photo.std);
    band.style.left = place(low);
    band.style.right = `calc(100% - ${place(high)})`;
    const dot = make("b");
    dot.style.left = place(photo.mean);
    element.append(band, dot);
    return element;
  }

  // A card is an empty box of the right shape while it is far from the view: thousands of those
  // cost a browser little.
  const nearby = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) fill(photos[target.dataset.index]);
      else target.replaceChildren();
    }
  }, { rootMargin: "1000px 0px" });

  function makeCard(photo) {
    const card = make("figure", "card");
    const [width, height] = photo.size ?? [3, 2];
    // Very tall and very wide pictures are cropped in the grid; the viewer shows them whole.
    card.style.setProperty("--shape", Math.min(2.6, Math.max(0.66, width / height)).toFixed(4));
    card.tabIndex = 0;
    card.dataset.index = photo.index;
    card.setAttribute("role", "button");
    card.setAttribute("aria-label",
      `${photo.name}, rank ${photo.rank}, score ${photo.mean.toFixed(2)} ± ${photo.std.toFixed(2)}`);
    return card;
  }

  function betterThan(photo) {
    return `better than ${photo.percentile} % of ordinary photos`;
  }

  function fill(photo) {
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
    const numbers = make("div", "numbers");
    numbers.append(
      make("span", "mean", photo.mean.toFixed(2)),
      make("span", "std", `± ${photo.std.toFixed(2)}`),
    );
    if (photo.percentile !== undefined) {
      const share = make("span", "percentile", `${photo.percentile} %`);
      share.title = betterThan(photo);
      numbers.append(share);
    }
    numbers.append(make("span", "rank", `#${photo.rank}`));
    const name = make("div", "name", photo.name.split(/[\\/]/).pop() || photo.name);
    name.title = photo.name;
    const caption = make("figcaption");
    caption.append(numbers, scale(photo), name);
    photo.card.replaceChildren(picture, pickButton(photo), caption);
    if (photo.folds) photo.card.append(foldButton(photo));
  }

  // One histogram moves to the photo that is pointed at or focused.
  const over = make("div", "over");
  function showHistogram(event) {
    const card = event.target.closest?.(".card");
    if (!card?.firstChild || over.parentElement === card.firstChild) return;
    over.replaceChildren(bars(photos[card.dataset.index]), votes());
    card.firstChild.append(over);
  }

  // --- groups, folded under their best that is shown

  const groups = new Map();
  const open = new Set();
  function toggleGroup(photo) {
    if (!groups.has(photo.group)) return;
    if (!open.delete(photo.group)) open.add(photo.group);
    show();
    lead(photo)?.card.focus();
  }
  const lead = (photo) => shown.find((other) => other.group === photo.group);

  function foldButton(photo) {
    const unfolded = open.has(photo.group);
    const element = button("fold", unfolded ? "fold" : `${photo.folds} photos`,
      unfolded ? "Fold this group" : `Unfold this group of ${photo.folds} photos`,
      () => toggleGroup(photo));
    element.setAttribute("aria-expanded", unfolded);
    return element;
  }

  /** Marks a group's cards; gives those to show. `folds` of the best says how many it stands for. */
  function dressGroup(members) {
    const unfolded = open.has(members[0].group);
    members.forEach((photo, index) => {
      const leads = index === 0 && members.length > 1;
      photo.folds = leads ? members.length : 0;
      photo.card.classList.toggle("lead", leads);
      photo.card.classList.toggle("member", index > 0);
      photo.card.toggleAttribute("data-open", unfolded && members.length > 1);
      photo.card.querySelector(".fold")?.remove();
      if (leads && photo.card.firstChild) photo.card.append(foldButton(photo));
    });
    return unfolded ? members : members.slice(0, 1);
  }

  // --- what is shown, in which order

  let shown = [];
  const orders = {
    best: (a, b) => a.rank - b.rank,
    worst: (a, b) => b.rank - a.rank,
    disputed: (a, b) => b.std - a.std,
    name: (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }),
  };

  function show() {
    const low = Number(byId("low").value), high = Number(byId("high").value);
    const wanted = byId("find").value.toLowerCase();
    const all = low <= LOWEST && high >= HIGHEST;
    const matches = scored
      .filter((photo) => all || (photo.mean >= low && photo.mean <= high))
      .filter((photo) => photo.name.toLowerCase().includes(wanted))
      .sort((a, b) => orders[byId("sort").value](a, b) || a.index - b.index);
    const families = new Map();
    for (const photo of matches) {
      const family = photo.group ?? `alone ${photo.index}`;
      if (families.has(family)) families.get(family).push(photo);
      else families.set(family, [photo]);
    }
    shown = [...families.values()].flatMap((members) => {
      if (members[0].group === undefined) return members;
      // Whatever the order of the page, a group stands under its best.
      return dressGroup(members.sort((a, b) => orders.best(a, b) || a.index - b.index));
    });
    grid.replaceChildren(...shown.map((photo) => photo.card));
    byId("between").textContent = all ? "all scores" : `${low.toFixed(1)} – ${high.toFixed(1)}`;
    byId("nothing").hidden = matches.length > 0 || scored.length === 0;
    summarise(matches.length);
    for (const bin of byId("spread").children) {
      bin.classList.toggle("in", bin.dataset.low >= low - 0.25 && bin.dataset.high <= high + 0.25);
    }
    const unfold = byId("unfold");
    unfold.setAttribute("aria-pressed", open.size === groups.size);
    unfold.textContent = open.size === groups.size ? "Fold all" : "Unfold all";
  }

  function summarise(matching) {
    const failed = photos.length - scored.length;
    const parts = [matching === scored.length
      ? `${scored.length} ${scored.length === 1 ? "photo" : "photos"}`
      : `${matching} of ${scored.length} photos`];
    if (groups.size) parts.push(`${groups.size} ${groups.size === 1 ? "group" : "groups"}`);
    if (failed) parts.push(`${failed} not scored`);
    byId("summary").textContent = parts.join(" · ");
  }

  function drawSpread() {
    const step = 0.25, bins = new Array((HIGHEST - LOWEST) / step).fill(0);
    for (const { mean } of scored) {
      bins[Math.min(bins.length - 1, Math.floor((mean - LOWEST) / step))]++;
    }
    const most = Math.max(...bins, 1);
    bins.forEach((count, index) => {
      const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      const height = count && Math.max(1.5, 19 * count / most);
      const width = 90 / bins.length;
      for (const [key, value] of Object.entries({
        x: index * width, y: 20 - height, width: width * 0.82, height,
      })) bar.setAttribute(key, value);
      bar.dataset.low = LOWEST + index * step;
      bar.dataset.high = LOWEST + (index + 1) * step;
      byId("spread").append(bar);
    });
  }

  // --- the viewer: one photo, or two side by side

  let viewed = [];

  /** P(a is better than b) for votes drawn from both distributions, ties split. */
  function better(a, b) {
    let chance = 0;
    a.p.forEach((p, vote) => b.p.forEach((q, other) => {
      chance += p * q * (vote > other ? 1 : vote === other ? 0.5 : 0);
    }));
    return chance;
  }

  function pane(photo, wins) {
    const element = make("figure", wins ? "pane better" : "pane");
    const view = make("div", "view");
    if (photo.size) {
      const image = make("img");
      image.alt = photo.name;
      image.src = thumbnail(photo);
      view.append(image);
      if (photo.original) {
        // Where the file itself can be reached it takes the thumbnail's place.
        const full = new Image();
        full.onload = () => { image.src = full.src; };
        full.src = photo.original;
      }
    }
    const score = make("div", "score", `${photo.mean.toFixed(2)} `);
    const better = photo.percentile === undefined ? "" : ` · ${betterThan(photo)}`;
    score.append(make("small", "", `± ${photo.std.toFixed(2)}${better} · #${photo.rank}`));
    const path = make("div", "path");
    if (photo.original) {
      const link = make("a", "", photo.name);
      link.href = photo.original;
      link.target = "_blank";
      link.rel = "noopener";
      path.append(link);
    } else {
      path.textContent = photo.name;
    }
    const text = make("div", "text");
    text.append(score, path);
    const histogram = make("div", "histogram");
    histogram.title = photo.p.map((p, index) => `${index + 1}: ${(100 * p).toFixed(1)} %`).join("\n");
    histogram.append(bars(photo), votes());
    const facts = make("div", "facts");
    facts.append(histogram, text);
    element.append(view, facts);
    return element;
  }

  function view(...chosen) {
    viewed = chosen;
    const [first, second] = chosen;
    const chance = second ? better(first, second) : 0;
    const percent = Math.round(100 * Math.max(chance, 1 - chance));
    const winner = percent === 50 ? undefined : chance > 0.5 ? first : second;
    byId("verdict").textContent = !second
      ? `${shown.indexOf(first) + 1} of ${shown.length}`
      : winner
        ? `The ${winner === first ? "first" : "second"} is better: ${percent} % to ${100 - percent} %`
        : "Neither is better: 50 % to 50 %";
    byId("panes").replaceChildren(
      ...chosen.map((photo) => pane(photo, Boolean(second) && photo === winner)),
    );
    byId("before").hidden = byId("after").hidden = Boolean(second);
    byId("before").disabled = shown[0] === first;
    byId("after").disabled = shown.at(-1) === first;
    if (!viewer.open) viewer.showModal();
  }

  function step(by) {
    if (viewed.length !== 1) return;
    const next = shown[shown.indexOf(viewed[0]) + by];
    if (next) view(next);
  }

  // Not in a "close" listener: that runs later, when the next key may have moved the focus or
  // opened the viewer again.
  function leave() {
    viewer.close();
    byId("panes").replaceChildren();
    if (viewed.length === 1) viewed[0].card.focus();
  }
  viewer.addEventListener("cancel", (event) => {
    event.preventDefault();
    leave();
  });

  // --- picking two photos

  let picked = [];
  function pick(photo) {
    picked = picked.includes(photo)
      ? picked.filter((other) => other !== photo)
      : [...picked.slice(-1), photo];
    markPicked();
  }
  function pickButton(photo) {
    const chosen = picked.includes(photo);
    const element = button("pick", chosen ? "✓" : "+", "Pick for comparison", () => pick(photo));
    element.setAttribute("aria-pressed", chosen);
    return element;
  }
  function markPicked() {
    for (const old of grid.querySelectorAll(".pick")) {
      const photo = photos[cardOf(old).dataset.index];
      if ((old.getAttribute("aria-pressed") === "true") !== picked.includes(photo)) {
        old.replaceWith(pickButton(photo));
      }
    }
    byId("tray").hidden = picked.length === 0;
    byId("compare").hidden = picked.length < 2;
    byId("picked").textContent = picked.length === 1 ? "Pick another one" : "2 photos";
  }
  function clearPicked() {
    picked = [];
    markPicked();
  }

  // --- keys and pointers

  const cardOf = (element) => element?.closest?.(".card");

  function move(key) {
    const cards = [...grid.children];
    const current = cardOf(document.activeElement);
    if (!current) return void cards[0]?.focus();
    const index = cards.indexOf(current);
    if (key === "ArrowRight") return void cards[index + 1]?.focus();
    if (key === "ArrowLeft") return void cards[index - 1]?.focus();
    // Up and down: the card of the next row whose middle is nearest.
    const down = key === "ArrowDown";
    const { offsetTop: top, offsetLeft: left, offsetWidth: width } = current;
    const middle = left + width / 2;
    let row, best, distance = Infinity;
    for (let i = index; i >= 0 && i < cards.length; i += down ? 1 : -1) {
      const card = cards[i];
      if (card.offsetTop === top) continue;
      row ??= card.offsetTop;
      if (card.offsetTop !== row) break;
      const away = Math.abs(card.offsetLeft + card.offsetWidth / 2 - middle);
      if (away < distance) [best, distance] = [card, away];
    }
    best?.focus();
  }

  function switchTheme() {
    const root = document.documentElement;
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (viewer.open) {
      if (event.key === "ArrowRight") step(1);
      else if (event.key === "ArrowLeft") step(-1);
      else if (event.key === "c" && viewed.length === 1) {
        pick(viewed[0]);
        leave();
      } else if (event.key === "Escape") leave();
      else return;
      event.preventDefault();
      return;
    }
    if (event.target.closest("input, select, dialog")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const card = cardOf(event.target);
    const photo = card && photos[card.dataset.index];
    if (event.key.startsWith("Arrow")) move(event.key);
    else if (event.key === "Enter" && picked.length === 2 && picked.includes(photo)) view(...picked);
    else if ((event.key === "Enter" || event.key === " ") && photo && event.target === card) view(photo);
    else if (event.key === "c" && photo) pick(photo);
    else if (event.key === "g" && photo) toggleGroup(photo);
    else if (event.key === "/") byId("find").focus();
    else if (event.key === "t") switchTheme();
    else if (event.key === "?") byId("help").showModal();
    else if (event.key === "Escape") clearPicked();
    else return;
    event.preventDefault();
  });

  grid.addEventListener("click", (event) => {
    const card = cardOf(event.target);
    if (card) view(photos[card.dataset.index]);
  });
  grid.addEventListener("pointerover", (event) => {
    if (event.pointerType !== "touch") showHistogram(event); // a tap opens the viewer, which has it
  });
  grid.addEventListener("focusin", showHistogram);
  grid.addEventListener("pointerleave", () => over.remove());
  byId("low").addEventListener("input", () => {
    byId("high").value = Math.max(byId("high").value, byId("low").value);
    show();
  });
  byId("high").addEventListener("input", () => {
    byId("low").value = Math.min(byId("high").value, byId("low").value);
    show();
  });
  byId("find").addEventListener("input", show);
  byId("sort").addEventListener("change", show);
  byId("theme").addEventListener("click", switchTheme);
  byId("keys").addEventListener("click", () => byId("help").showModal());
  byId("compare").addEventListener("click", () => view(...picked));
  byId("clear").addEventListener("click", clearPicked);
  byId("before").addEventListener("click", () => step(-1));
  byId("after").addEventListener("click", () => step(1));
  byId("close").addEventListener("click", leave);
  byId("unfold").addEventListener("click", () => {
    if (open.size === groups.size) open.clear();
    else for (const group of groups.keys()) open.add(group);
    show();
  });
  byId("reset").addEventListener("click", () => {
    byId("low").value = LOWEST;
    byId("high").value = HIGHEST;
    byId("find").value = "";
    show();
  });

  // --- start

  photos.forEach((photo, index) => {
    photo.index = index;
    if (photo.p) {
      photo.card = makeCard(photo);
      nearby.observe(photo.card);
      if (photo.group !== undefined) groups.set(photo.group, (groups.get(photo.group) ?? 0) + 1);
    } else {
      const [code, message] = photo.error;
      const line = make("li");
      line.append(make("code", "", code), photo.name, make("span", "", message));
      byId("failures").querySelector("ul").append(line);
      byId("failures").hidden = false;
    }
  });
  byId("unfold").hidden = groups.size === 0;
  drawSpread();
  show();
}
