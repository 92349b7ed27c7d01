// Draws the blocks of mermaid's language in place of their text.
for (const block of document.querySelectorAll(".highlight-mermaid pre")) {
    block.textContent = block.textContent; // without the markup for colours
}
const dark = matchMedia("(prefers-color-scheme: dark)").matches;
mermaid.initialize({ startOnLoad: false, theme: dark ? "dark" : "neutral" });
mermaid.run({ querySelector: ".highlight-mermaid pre" });
