// Draws every figure with the page's own colours, again when the reader switches between light and dark.
"use strict";

const specs = JSON.parse(document.getElementById("figures").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");

function config() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const text = colour("--text"), soft = colour("--soft"), line = colour("--line");
  return {
    background: "transparent",
    font: style.fontFamily,
    view: { stroke: null },
    axis: { labelColor: soft, titleColor: soft, titleFontWeight: "normal", gridColor: line, domainColor: line, tickColor: line, labelLimit: 130 },
    legend: { labelColor: text, titleColor: soft, titleFontWeight: "normal" },
    range: { category: ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5", "--series-6"].map(colour) },
    line: { color: colour("--series-1") },
    point: { color: colour("--series-1") },
    rule: { color: colour("--series-1") },
  };
}

function draw() {
  const options = { mode: "vega-lite", renderer: "svg", actions: false, ast: true, config: config(), tooltip: { theme: dark.matches ? "dark" : "light" } };
  for (const node of document.querySelectorAll("[data-figure]")) vegaEmbed(node, specs[node.dataset.figure], options);
}

dark.addEventListener("change", draw);
draw();
