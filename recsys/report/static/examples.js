// Example lists under engagement only, satisfaction only, and the reader's weights.
"use strict";

(() => {
  const { data, state, presets, own, order, watch } = tradeoffs;
  const FIRST = 10;
  const root = document.getElementById("example-lists");
  const make = (parent, tag, className = "", text = "") => {
    const node = parent.appendChild(document.createElement(tag));
    node.className = className;
    node.textContent = text;
    return node;
  };

  const choice = make(root, "div", "choice");
  choice.setAttribute("role", "group");
  choice.setAttribute("aria-label", "whose list");
  const head = make(root, "p", "legend"), columns = make(root, "div", "columns");
  columns.tabIndex = 0;
  columns.setAttribute("role", "region");
  columns.setAttribute("aria-label", "the list in three orders");
  const KINDS = { engagement: "Engagement only", satisfaction: "Satisfaction only", now: "Your weights" };
  const bodies = Object.fromEntries(Object.entries(KINDS).map(([kind, name]) => {
    const column = make(columns, "div", `column ${kind}`);
    make(column, "h3", "", name);
    return [kind, make(column, "ol")];
  }));
  let shown = data.lists[0];

  // What the log says: an event by its name, a value with its number; nothing where it did not happen or is not known.
  function outcomes(place, row) {
    data.objectives.forEach((objective, k) => {
      const value = tradeoffs.label(k, row);
      if (!(value > 0)) return;
      const text = data.labels[k].bytes ? objective.name : `${objective.name} ${Number(value.toPrecision(3))}`;
      make(place, "span", `chip ${objective.better === "lower" ? "unwanted" : objective.group}`, text);
    });
  }

  function fill(kind, weights) {
    const before = new Map(Array.from(order(own, Uint32Array.from(shown.rows)), (row, place) => [row, place]));
    const items = Array.from(order(weights, Uint32Array.from(shown.rows))).slice(0, FIRST).map((row, place) => {
      const at = shown.rows.indexOf(row), item = document.createElement("li");
      const name = make(item, "div", "item");
      make(name, "b", "", shown.items[at]);
      const up = before.get(row) - place;
      if (up) make(name, "small", "moved", `${up > 0 ? "↑" : "↓"}${Math.abs(up)}`).title = "places from where this run's weights put it";
      if (shown.features[at]) make(item, "small", "features", shown.features[at]);
      outcomes(make(item, "div", "chips"), row);
      return item;
    });
    bodies[kind].replaceChildren(...items);
  }

  function show() {
    const size = shown.rows.length;
    head.textContent = `User ${shown.user}, ${shown.when}${shown.watching === null ? "" : `, while watching ${shown.watching}`}: `
      + `${size > FIRST ? `the first ${FIRST} of ${size} items` : `${size} items`}. Marked: what happened when the item was shown. Arrows: places from where this run's weights put it.`;
    fill("engagement", presets.engagement);
    fill("satisfaction", presets.satisfaction);
    fill("now", state.weights);
  }

  data.lists.forEach((list, at) => {
    const button = make(choice, "button", "", `user ${list.user}`);
    button.type = "button";
    button.setAttribute("aria-pressed", String(at === 0));
    button.addEventListener("click", () => {
      shown = list;
      for (const other of choice.children) other.setAttribute("aria-pressed", String(other === button));
      show();
    });
  });
  show();
  watch(() => fill("now", state.weights));
})();
