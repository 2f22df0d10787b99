// Every table as CSV. A number is written in full; its interval, verdict and reason get columns of their own where a column of the table has them.
"use strict";

const EXTRAS = {
  low: (cell) => cell.querySelector("data")?.dataset.low,
  high: (cell) => cell.querySelector("data")?.dataset.high,
  verdict: (cell) => cell.querySelector("data")?.dataset.verdict,
  reason: (cell) => cell.querySelector(".reason")?.textContent,
};

const words = (node) => node.textContent.replace(/\s+/g, " ").trim();
const number = (cell) => cell.dataset.number ?? cell.querySelector("data")?.value;
// A missing number is an empty field: its dash is for readers.
const main = (cell) => number(cell) ?? cell.dataset.text ?? (cell.querySelector(".missing") ? "" : words(cell));

// A spreadsheet computes a text that begins like a formula; a log may hold one. An apostrophe in front keeps it a text.
function field(text) {
  const safe = /^[=+\-@\t\r]/.test(text) && !/^[-+]?(\d|\.\d)[\d.eE+-]*$/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function csvOf(table) {
  const heads = [...table.tHead.rows[0].cells].map(words);
  const rows = [...table.tBodies].flatMap((body) => [...body.rows]).map((row) => [...row.cells]);
  const columns = heads.flatMap((head, at) => {
    const there = Object.entries(EXTRAS).filter(([, extra]) => rows.some((row) => extra(row[at])));
    return [[head, at, main], ...there.map(([name, extra]) => [`${head} ${name}`, at, (cell) => extra(cell) ?? ""])];
  });
  let name = "";
  const lines = rows.map((row) => columns.map(([, at, read], column) => {
    const text = read(row[at]);
    if (column > 0 || !table.classList.contains("grouped")) return text;
    name = text || name; // a row without a name belongs to the last one that has a name
    return name;
  }));
  return `${[columns.map(([head]) => head), ...lines].map((line) => line.map(field).join(",")).join("\r\n")}\r\n`;
}

function addDownload(table, title, after) {
  const button = document.createElement("button");
  Object.assign(button, { type: "button", className: "data csv", textContent: "CSV" });
  button.setAttribute("aria-label", `CSV: ${title}`);
  button.addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csvOf(table)], { type: "text/csv;charset=utf-8" }));
    const section = table.closest("details.section")?.querySelector("h2").textContent ?? "";
    link.download = `${`${document.title} ${section} ${title}`.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 100)}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
  after.after(button);
  return button;
}

for (const table of document.querySelectorAll("main table")) addDownload(table, words(table.caption), table.closest(".scroll"));
