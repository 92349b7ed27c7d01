// The server of a served page: it keeps the marks and tells of photos that arrived.

let sending = false, waiting = null;
/** One request at a time, so that the last one wins. */
async function send(kept) {
  waiting = kept;
  if (sending) return;
  sending = true;
  while (waiting) {
    const body = JSON.stringify(waiting);
    waiting = null;
    try {
      const answer = await fetch("marks", { method: "PUT", body });
      if (!answer.ok) throw new Error(await answer.text());
    } catch (error) {
      say(`Not saved: ${error.message}`);
    }
  }
  sending = false;
}

async function receive() {
  const answer = await fetch("marks");
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

async function askForArrivals() {
  try {
    const { photos: number } = await (await fetch("state")).json();
    const more = number - photos.length;
    byId("arrived").hidden = more <= 0;
    byId("arrived").textContent = `Show ${more} new`;
  } catch {
    say("The server of this page has ended: marks are no longer saved");
  }
}

if (page.served) {
  setInterval(askForArrivals, 4000);
  byId("arrived").addEventListener("click", () => location.reload());
  addEventListener("beforeunload", (event) => {
    if (sending) event.preventDefault();
  });
}
