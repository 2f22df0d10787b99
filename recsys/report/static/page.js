// Draws a figure when its section is opened, with the page's own colours, and again when the reader switches between light and dark.
"use strict";

const specs = JSON.parse(document.getElementById("figures").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const drawn = new Set();

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

function draw(nodes) {
  const options = { mode: "vega-lite", renderer: "svg", actions: false, ast: true, config: config(), tooltip: { theme: dark.matches ? "dark" : "light" } };
  for (const node of nodes) {
    drawn.add(node);
    vegaEmbed(node, specs[node.dataset.figure], options);
  }
}

// A folded figure has no width to be drawn in.
function drawOpen() { draw([...document.querySelectorAll("details[open] [data-figure]")].filter((node) => !drawn.has(node))); }

document.addEventListener("toggle", drawOpen, true);
dark.addEventListener("change", () => draw(drawn));
drawOpen();

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

// Six digits: more would hide the columns beside it. The whole number is in the tooltip and in the CSV.
const written = (cell) => (typeof cell === "number" && !Number.isInteger(cell) ? String(Number(cell.toPrecision(6))) : String(cell ?? "–"));

function tableOf(rows, title) {
  const table = document.createElement("table"), columns = Object.keys(rows[0]);
  table.createCaption().textContent = title;
  const line = (section, tag, cells) => {
    const row = section.insertRow();
    cells.forEach((cell, at) => {
      const place = row.appendChild(document.createElement(tag));
      place.textContent = written(cell);
      if (tag === "th") place.scope = "col";
      place.dataset.label = columns[at];
      if (typeof cell === "number" || cell === null) place.dataset.number = cell ?? "";
      if (place.textContent !== String(cell ?? "–")) place.title = cell;
    });
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
  const place = document.createElement("div"), title = button.getAttribute("aria-label");
  for (const rows of sets) {
    const around = place.appendChild(document.createElement("div"));
    Object.assign(around, { className: "scroll rows", tabIndex: 0 });
    around.setAttribute("role", "region");
    around.setAttribute("aria-label", title);
    const table = around.appendChild(tableOf(rows, title));
    addDownload(table, title, around);
  }
  button.after(place);
}

for (const button of document.querySelectorAll("[data-rows]")) {
  button.addEventListener("click", () => toggleRows(button, rowsOf(specs[button.dataset.rows])));
}
