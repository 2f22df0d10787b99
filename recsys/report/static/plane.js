// The plane of two objectives: what mixes of weights give, the runs compared with, this run's weights, and the reader's. Up and right are
// always better: the axis of an objective of which less is better runs backwards.
"use strict";

(() => {
  const { data, state, own, ownValues, sign, set, watch, number, percent, change } = tradeoffs;
  const drawing = document.getElementById("plane"), words = document.getElementById("plane-words"), dataButton = document.getElementById("plane-data");
  const selects = ["plane-x", "plane-y"].map((id) => document.getElementById(id));
  const groupFirst = (group) => data.objectives.findIndex((objective) => objective.group === group);
  const starts = [groupFirst("engagement"), groupFirst("satisfaction")];
  if (starts.includes(-1)) starts.splice(0, 2, 0, 1);
  selects.forEach((select, at) => {
    data.objectives.forEach((objective, k) => select.add(new Option(objective.name, k)));
    select.value = starts[at];
    select.addEventListener("change", draw);
  });

  const NS = "http://www.w3.org/2000/svg";
  function add(parent, kind, attributes, text) {
    const node = parent.appendChild(document.createElementNS(NS, kind));
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    return node;
  }

  // Points of the shown metric; null where an objective has none.
  function points() {
    const [x, y] = selects.map((select) => Number(select.value)), metric = state.metric;
    if ([x, y].some((k) => data.metrics[metric].reasons[k] !== null)) return null;
    const at = (values) => ({ x: values[x], y: values[y] });
    const mixes = data.mixes.values[metric].map((values, m) => ({ ...at(values), weights: data.mixes.weights[m], kind: "mix" }));
    const mine = { ...at(ownValues[metric]), weights: own, kind: "own", name: "this run" };
    const runs = data.runs.map((run) => ({ ...at(run.values[metric]), kind: "run", name: run.name }));
    const now = { ...at(state.values[metric]), weights: state.weights, kind: "now", name: "yours" };
    return { x, y, mixes, mine, runs, now, front: front([...mixes, mine], x, y) };
  }

  // Those that none beats in one objective without losing in the other; from the least to the most of x.
  function front(candidates, x, y) {
    const better = (point) => [sign[x] * point.x, sign[y] * point.y];
    const ordered = [...candidates].sort((a, b) => better(b)[0] - better(a)[0] || better(b)[1] - better(a)[1]);
    const kept = [];
    for (const point of ordered) if (!kept.length || better(point)[1] > better(kept.at(-1))[1]) kept.push(point);
    return kept.reverse();
  }

  function scale(values, from, to, direction) {
    let low = Math.min(...values), high = Math.max(...values);
    const room = (high - low || Math.abs(high) || 1) * 0.06;
    [low, high] = [low - room, high + room];
    const [first, last] = direction > 0 ? [low, high] : [high, low];
    const place = (value) => from + ((value - first) / (last - first)) * (to - from);
    const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
    const ticks = [];
    for (let tick = Math.ceil(low / step); tick * step <= high; tick++) ticks.push(tick * step);
    return { place, ticks, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
  }

  const letter = 6.6; // width of a letter of the plane, on average

  // What an axis shows. In `room` pixels, the end of a long name is left out.
  function title(k, room = Infinity) {
    const { name } = data.objectives[k], metric = data.metrics[state.metric].name, end = sign[k] > 0 ? "" : ", less is better";
    const letters = Math.max(8, Math.floor(room / letter) - `${metric} of ${end} →`.length);
    return `${metric} of ${name.length > letters ? `${name.slice(0, letters - 1)}…` : name}${end}`;
  }

  function draw() {
    const found = points();
    drawing.replaceChildren();
    dataButton.hidden = found === null;
    if (found === null) { words.textContent = "The metric of one of the two is undefined here."; return; }
    const { x, y, mixes, mine, runs, now } = found, all = [...mixes, mine, ...runs, now];
    const width = Math.max(280, drawing.clientWidth), height = Math.round(Math.min(420, Math.max(280, width * 0.72)));
    const left = 46, right = width - 12, top = 12, bottom = height - 40;
    const svg = add(drawing, "svg", { width, height, role: "img", "aria-labelledby": "plane-words" });
    const across = scale(all.map((point) => point.x), left, right, sign[x]), up = scale(all.map((point) => point.y), bottom, top, sign[y]);
    const tick = (value, digits) => value.toFixed(digits).replace(/^(-?)0\./, "$1.");
    for (const value of across.ticks) {
      add(svg, "line", { x1: across.place(value), x2: across.place(value), y1: top, y2: bottom, class: "grid" });
      add(svg, "text", { x: across.place(value), y: bottom + 15, "text-anchor": "middle" }, tick(value, across.digits));
    }
    for (const value of up.ticks) {
      add(svg, "line", { x1: left, x2: right, y1: up.place(value), y2: up.place(value), class: "grid" });
      add(svg, "text", { x: left - 6, y: up.place(value) + 4, "text-anchor": "end" }, tick(value, up.digits));
    }
    add(svg, "text", { x: (left + right) / 2, y: height - 6, "text-anchor": "middle" }, `${title(x, right - left)} →`);
    add(svg, "text", { transform: `translate(11 ${(top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, `${title(y, bottom - top)} →`);
    add(svg, "text", { x: right - 4, y: top + 12, "text-anchor": "end", class: "corner" }, "better ↗");
    const at = (point) => [across.place(point.x), up.place(point.y)];
    const onFront = new Set(found.front);
    add(svg, "polyline", { points: found.front.map((point) => at(point).join(",")).join(" "), class: "front" });
    for (const point of mixes) {
      const [cx, cy] = at(point);
      const dot = add(svg, "circle", { cx, cy, r: onFront.has(point) ? 4 : 2.5, class: onFront.has(point) ? "mix front" : "mix" });
      add(dot, "title", {}, `${data.objectives[x].name} ${number(point.x)}, ${data.objectives[y].name} ${number(point.y)}: click to take these weights`);
      dot.addEventListener("click", () => set(point.weights));
    }
    const taken = [mine, now].map((point) => { const [cx, cy] = at(point); return { y: cy + 4, from: cx - 9, to: cx + 9 }; });
    for (const point of runs) {
      const [cx, cy] = at(point);
      add(svg, "path", { d: `M${cx} ${cy - 6}l6 6l-6 6l-6 -6z`, class: "run" });
      label(svg, point.name, cx, cy, right, taken);
    }
    const [ownX, ownY] = at(mine), [nowX, nowY] = at(now);
    add(svg, "circle", { cx: ownX, cy: ownY, r: 7, class: "own" });
    label(svg, mine.name, ownX, ownY, right, taken);
    add(svg, "circle", { cx: nowX, cy: nowY, r: 6, class: "now" });
    if (Math.hypot(ownX - nowX, ownY - nowY) > 2) label(svg, now.name, nowX, nowY, right, taken, "now");
    words.textContent = said(found);
  }

  // Beside its point, on the side that has room, moved down where another stands.
  function label(svg, text, cx, cy, right, taken, kind = "") {
    const width = letter * text.length, isLeft = cx + 12 + width > right;
    const from = isLeft ? cx - 12 - width : cx + 12;
    let y = cy + 4;
    while (taken.some((other) => Math.abs(other.y - y) < 14 && other.from < from + width && from < other.to)) y += 14;
    taken.push({ y, from, to: from + width });
    add(svg, "text", { x: isLeft ? cx - 12 : cx + 12, y, "text-anchor": isLeft ? "end" : "start", class: `name ${kind}` }, text);
  }

  function said({ x, y, mixes, mine, runs, now, front }) {
    const of = (point) => `${data.objectives[x].name} ${number(point.x)}, ${data.objectives[y].name} ${number(point.y)}`;
    const beaten = mixes.filter((point) => sign[x] * (point.x - now.x) > 1e-4 && sign[y] * (point.y - now.y) > 1e-4).length;
    const moved = [x, y].map((k) => percent(change(state.metric, k))).join(" and ");
    const along = front.length === 1 ? ` is one point: ${of(front[0])}.` : `, joined, goes through ${front.length} mixes, from ${of(front[0])} to ${of(front.at(-1))}.`;
    return `Your weights: ${of(now)} (${moved} against this run's weights: ${of(mine)}). ${beaten} of ${mixes.length} mixes are better in both.`
      + ` The front${along}`
      + (runs.length ? ` At this run's weights ${runs.map((run) => `${run.name}: ${of(run)}`).join("; ")}.` : "")
      + " Grey: other mixes. A click on a point takes its weights.";
  }

  function step(by) {
    const found = points();
    if (found === null) return;
    const { x, front: line, now } = found, reach = sign[x] * now.x;
    const ahead = line.filter((point) => by * (sign[x] * point.x - reach) > 1e-9);
    if (ahead.length) set((by > 0 ? ahead[0] : ahead.at(-1)).weights);
  }
  document.getElementById("plane-back").addEventListener("click", () => step(-1));
  document.getElementById("plane-on").addEventListener("click", () => step(1));

  dataButton.addEventListener("click", () => {
    const { x, y, mixes, mine, runs, now, front: line } = points();
    toggleRows(dataButton, [[now, mine, ...runs, ...mixes].map((point) => ({
      point: point.name ?? (line.includes(point) ? "mix on the front" : "mix"), [title(x)]: point.x, [title(y)]: point.y,
      ...Object.fromEntries(data.objectives.map((objective, k) => [`weight of ${objective.name}`, (point.weights ?? own)[k]])),
    }))]);
  });

  new ResizeObserver(draw).observe(drawing.parentElement);
  watch(draw);
})();
