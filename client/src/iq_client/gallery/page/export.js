// The way back to the files: a page cannot write them, `iq-client apply` can.

const chosenSets = {
  picked: (photo) => photo.flag === PICK,
  starred: (photo) => photo.stars > 0,
  rejected: (photo) => photo.flag === REJECT,
  marked: isMarked,
  shown: (photo) => shown[photo.place] === photo,
};

const quoted = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : `${value}`);
const csv = (lines) => lines.map((line) => `${line.map(quoted).join(",")}\r\n`).join("");

const exportFormats = {
  json: {
    file: "picks.json",
    hint: "iq-client apply picks.json --copy DIR, or --xmp for photo programs",
    text: (chosen) => `${JSON.stringify(marksDocument(chosen), null, 1)}\n`,
  },
  list: {
    file: "picks.txt",
    hint: "one path a line",
    text: (chosen) => chosen.map(({ name }) => `${name}\n`).join(""),
  },
  csv: {
    file: "picks.csv",
    hint: "iq-client apply picks.csv --copy DIR, or --xmp for photo programs",
    text: (chosen) => csv([
      ["path", "flag", "stars", "rank", "mean"],
      ...chosen.map(({ name, flag, stars, rank, mean }) => [name, flag ?? "", stars, rank, mean]),
    ]),
  },
  pairs: {
    file: "pairs.csv",
    hint: "what you judged in comparisons, for training with form = \"pairs\"",
    text: () => csv([["winner", "loser"],
      ...pairs.map(([winner, loser]) => [winner.name, loser.name])]),
  },
};

function openExport() {
  byId("what").value = scored.some(chosenSets.picked) ? "picked" : "marked";
  drawExport();
  byId("export-dialog").showModal();
}

function drawExport() {
  const format = exportFormats[byId("format").value];
  const chosen = scored.filter(chosenSets[byId("what").value]).sort(orders.best);
  const judged = byId("format").value === "pairs";
  byId("what").disabled = judged;
  byId("exported").value = format.text(chosen);
  byId("export-hint").textContent = format.hint;
  byId("export-count").textContent = judged ? count(pairs.length, "pair") : count(chosen.length, "photo");
}

async function copyExport() {
  try {
    await navigator.clipboard.writeText(byId("exported").value);
    byId("export-count").textContent = "Copied";
  } catch {
    byId("exported").select();
    byId("export-count").textContent = "Press Ctrl-C to copy";
  }
}

function downloadExport() {
  const { file } = exportFormats[byId("format").value];
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([byId("exported").value], { type: "text/plain" }));
  link.download = file;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
