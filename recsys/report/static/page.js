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
    axis: { labelColor: soft, titleColor: soft, titleFontWeight: "normal", gridColor: line, domainColor: line, tickColor: line, labelLimit: 130, labelSeparation: 4 },
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

// The rows that a figure draws, as a table under it. A set of one column is decoration: a zero line, a diagonal.
function rowsOf(spec) {
  const found = new Map();
  (function walk(part) {
    const values = part?.data?.values;
    if (Array.isArray(values) && values.length && Object.keys(values[0]).length > 1) found.set(JSON.stringify(values), values);
    for (const child of ["layer", "hconcat", "vconcat", "concat"]) (part[child] ?? []).forEach(walk);
    if (part.spec) walk(part.spec);
  })(spec);
  return [...found.values()];
}

// Six digits: more would hide the columns beside it. The whole number is in the tooltip.
const written = (cell) => (typeof cell === "number" && !Number.isInteger(cell) ? String(Number(cell.toPrecision(6))) : String(cell ?? "–"));

function tableOf(rows) {
  const table = document.createElement("table"), columns = Object.keys(rows[0]);
  const line = (section, tag, cells) => {
    const row = section.insertRow();
    for (const cell of cells) {
      const place = row.appendChild(document.createElement(tag));
      place.textContent = written(cell);
      if (place.textContent !== String(cell ?? "–")) place.title = cell;
    }
  };
  line(table.createTHead(), "th", columns);
  const body = table.createTBody();
  for (const row of rows) line(body, "td", columns.map((column) => row[column]));
  return table;
}

function toggleRows(button, sets) {
  const open = button.getAttribute("aria-expanded") !== "true";
  button.setAttribute("aria-expanded", String(open));
  if (!open) return button.nextElementSibling.remove();
  const place = document.createElement("div");
  Object.assign(place, { className: "scroll rows", tabIndex: 0 });
  place.setAttribute("role", "region");
  place.setAttribute("aria-label", button.getAttribute("aria-label"));
  place.append(...sets.map(tableOf));
  button.after(place);
}

for (const button of document.querySelectorAll("[data-rows]")) {
  button.addEventListener("click", () => toggleRows(button, rowsOf(specs[button.dataset.rows])));
}
