// What every objective's captured share becomes under the weights that the reader sets: the definitions of evaluation/metrics/lists.py, in doubles
// over 32-bit terms, added in the order of the objectives. n rows in the order of event_id, k objectives.
"use strict";

const tradeoffs = (() => {
  const data = JSON.parse(document.getElementById("tradeoffs-data").textContent);
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const terms = data.terms.map((text) => new Float32Array(bytes(text).buffer));
  const lists = new Uint16Array(bytes(data.list).buffer);
  const labels = data.labels.map((label) => label.bytes
    ? Float32Array.from(bytes(label.bytes), (value) => (value === 255 ? NaN : value))
    : new Float32Array(bytes(label.floats).buffer));
  const n = lists.length;
  const gains = labels.map((label) => Float64Array.from(label, (value) => (value > 0 ? value : 0)));
  const sizes = new Uint32Array(lists.reduce((most, at) => Math.max(most, at + 1), 0));
  for (const at of lists) sizes[at] += 1;
  const wholes = gains.map((gain) => gain.reduce((sum, value) => sum + value, 0));
  const listWholes = gains.map((gain) => {
    const whole = new Float64Array(sizes.length);
    gain.forEach((value, row) => { whole[lists[row]] += value; });
    return whole;
  });

  function score(weights) {
    const found = new Float64Array(n);
    terms.forEach((term, k) => { for (let row = 0; row < n; row++) found[row] += weights[k] * term[row]; });
    return found;
  }

  // Rows by descending score, tied ones in the order of event_id.
  function order(weights, rows = Uint32Array.from({ length: n }, (_, row) => row)) {
    const found = score(weights);
    return rows.slice().sort((a, b) => found[b] - found[a] || a - b);
  }

  function ofAll(ordered, percent, k) {
    const cut = Math.max(1, Math.ceil((n * percent) / 100 - 1e-9));
    let captured = 0;
    for (let place = 0; place < cut; place++) captured += gains[k][ordered[place]];
    return captured / wholes[k];
  }

  function ofLists(ordered, first, k) {
    const seen = new Uint32Array(sizes.length), captured = new Float64Array(sizes.length);
    for (const row of ordered) if (seen[lists[row]]++ < first) captured[lists[row]] += gains[k][row];
    let sum = 0, counted = 0;
    captured.forEach((value, at) => {
      if (sizes[at] > first && listWholes[k][at] > 0) { sum += value / listWholes[k][at]; counted += 1; }
    });
    return sum / counted;
  }

  // [metric][objective]; null where it is undefined under any weights.
  function values(weights) {
    const ordered = order(weights);
    return data.metrics.map(({ name, reasons }) => {
      const number = name.split("@")[1];
      const judge = number.endsWith("%") ? ofAll : ofLists;
      return terms.map((_, k) => (reasons[k] === null ? judge(ordered, parseFloat(number), k) : null));
    });
  }

  const own = data.objectives.map((objective) => objective.weight);
  const presets = { own };
  for (const group of ["engagement", "satisfaction"]) {
    const inside = data.objectives.map((objective) => objective.group === group);
    const some = own.some((weight, k) => inside[k] && weight > 0);
    presets[group] = data.objectives.map((objective, k) => (!inside[k] ? 0 : some ? own[k] : Number((1 / objective.spread).toPrecision(3))));
  }

  const state = { weights: own.slice(), metric: 0, values: values(own) };
  const ownValues = state.values;
  const watchers = [];
  let waiting = false;

  function set(weights) {
    state.weights = weights.slice();
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; state.values = values(state.weights); watchers.forEach((watch) => watch()); });
  }

  function watch(watcher) { watchers.push(watcher); watcher(); }

  const sign = data.objectives.map((objective) => (objective.better === "higher" ? 1 : -1));
  // Relative to the run's own weights, above 0 where it is for the better.
  function change(metric, k) {
    const before = ownValues[metric][k], now = state.values[metric][k];
    return before === null || before === 0 ? null : sign[k] * (now / before - 1);
  }

  const number = (value) => (value === null ? "–" : value.toFixed(3).replace(/^0\./, "."));
  function percent(share) {
    if (share === null) return "";
    const text = (100 * share).toFixed(1);
    return Number(text) === 0 ? "±0 %" : `${share > 0 ? "+" : "−"}${text.replace("-", "")} %`;
  }

  const label = (k, row) => labels[k][row];
  return { data, state, own, ownValues, presets, label, order, sign, set, watch, change, number, percent };
})();

// --- Sliders, numbers, lines to copy -------------------------------------------------------------------------------
(() => {
  const { data, state, own, ownValues, presets, set, watch, change, number, percent, sign } = tradeoffs;
  const root = document.getElementById("mix");
  const STEPS = 1000;
  // Even in the objective's share of the pull, with the others at the run's own weights: slider_range.py says how far.
  const weightAt = (step, { unit, last }) => {
    const share = (last * step) / STEPS;
    return Number(((share / (1 - share)) * unit).toPrecision(3));
  };
  const stepOf = (weight, { unit, last }) => Math.round(STEPS * Math.min(1, weight / (weight + unit) / last));
  const rows = [...root.querySelectorAll(".objective")].map((node) => {
    const find = (selector) => node.querySelector(selector);
    return { k: Number(node.dataset.k), node, find, slider: find("[type=range]"), box: find("[type=number]") };
  });

  const withWeight = (k, weight) => state.weights.map((old, at) => (at === k ? weight : old));
  for (const { k, slider, box } of rows) {
    slider.addEventListener("input", () => set(withWeight(k, weightAt(Number(slider.value), data.objectives[k]))));
    box.addEventListener("input", () => {
      const weight = box.value === "" ? NaN : Number(box.value);
      const isRight = weight >= 0 && weight <= Number(box.max);
      box.setAttribute("aria-invalid", String(!isRight));
      if (isRight) set(withWeight(k, weight));
    });
    box.addEventListener("change", () => { box.setAttribute("aria-invalid", "false"); box.value = state.weights[k]; });
  }
  for (const button of root.querySelectorAll("[data-preset]")) button.addEventListener("click", () => set(presets[button.dataset.preset]));
  for (const radio of root.querySelectorAll("[name=mix-metric]")) {
    radio.addEventListener("change", () => { state.metric = Number(radio.value); set(state.weights); });
  }

  // The worst and the best of an objective that any mix gives, in the direction that is better for it.
  function ends(metric, k) {
    const found = [...data.mixes.values[metric].map((values) => values[k]), data.own[metric][k], state.values[metric][k]];
    const low = Math.min(...found), high = Math.max(...found);
    return sign[k] > 0 ? [low, high] : [high, low];
  }

  function show({ k, node, find, slider, box }) {
    const objective = data.objectives[k], metric = state.metric, weight = state.weights[k];
    const pulls = state.weights.map((each, at) => each * data.objectives[at].spread), all = pulls.reduce((sum, pull) => sum + pull, 0);
    const ofAll = all > 0 ? (100 * pulls[k]) / all : 0, pull = `${ofAll > 0 && ofAll < 1 ? "<1" : Math.round(ofAll)} % of the pull`;
    const step = stepOf(weight, objective);
    slider.style.setProperty("--fill", `calc(0.6rem + (100% - 1.2rem) * ${step / STEPS})`);
    if (document.activeElement !== slider || weightAt(Number(slider.value), objective) !== weight) slider.value = step;
    slider.setAttribute("aria-valuetext", `${weight}, ${pull}`);
    if (document.activeElement !== box || Number(box.value) !== weight) box.value = weight;
    find(".pull").textContent = pull;
    const value = state.values[metric][k], before = ownValues[metric][k], reason = data.metrics[metric].reasons[k];
    const output = find("output"), moved = change(metric, k), text = percent(moved), changed = find(".change");
    output.value = number(value);
    output.dataset.values = JSON.stringify(Object.fromEntries(data.metrics.map((each, at) => [each.name, state.values[at][k]])));
    changed.textContent = text;
    changed.className = `change ${text.startsWith("+") ? "better" : text.startsWith("−") ? "worse" : ""}`;
    find(".from").textContent = reason ?? `from ${number(before)}`;
    find(".whole").textContent = data.metrics[metric].whole[k];
    find(".rest").textContent = data.metrics.flatMap((each, at) => (at === metric ? []
      : [`${each.name.replace("captured", "")} ${number(state.values[at][k])} ${percent(change(at, k))}`])).join(" · ");
    const gauge = find(".gauge");
    gauge.hidden = find(".ends").hidden = value === null;
    if (value === null) return;
    const [worst, best] = ends(metric, k);
    const share = (at) => (best === worst ? 50 : (100 * (at - worst)) / (best - worst));
    gauge.querySelector(".own").style.left = `${share(before)}%`;
    gauge.querySelector(".now").style.left = `${share(value)}%`;
    find(".worst").textContent = number(worst);
    find(".best").textContent = number(best);
    const interval = data.metrics[metric].intervals[k], band = gauge.querySelector(".band");
    band.hidden = interval === null;
    if (interval === null) return;
    const [from, to] = interval.map((bound) => Math.min(100, Math.max(0, share(bound)))).sort((a, b) => a - b);
    band.style.left = `${from}%`;
    band.style.width = `${to - from}%`;
  }

  function toml() {
    const lines = ["# fusion weights, chosen by hand on the run's page", "# the same on the command line:"];
    data.objectives.forEach(({ name }, k) => lines.push(`#   --set objective.${name}.fusion_weight=${state.weights[k]}`));
    return `${lines.join("\n")}\n${data.objectives.map((each, k) => `\n${each.toml}fusion_weight = ${state.weights[k]}\n`).join("")}`;
  }

  const area = document.getElementById("mix-toml"), said = document.getElementById("mix-said"), copied = document.getElementById("mix-copied");
  let saying;
  function say() {
    const metric = state.metric, name = data.metrics[metric].name;
    said.textContent = `${name}: ${data.objectives.map((objective, k) => `${objective.name} ${number(state.values[metric][k])} ${percent(change(metric, k))}`).join(", ")}`;
  }

  document.getElementById("mix-copy").addEventListener("click", async () => {
    area.select();
    try {
      await navigator.clipboard.writeText(area.value);
      copied.textContent = "copied";
    } catch {
      copied.textContent = document.execCommand("copy") ? "copied" : "selected: copy it with Ctrl+C";
    }
  });

  root.hidden = false;
  watch(() => {
    rows.forEach(show);
    area.value = toml();
    copied.textContent = "";
    for (const button of root.querySelectorAll("[data-preset]")) {
      button.setAttribute("aria-pressed", String(presets[button.dataset.preset].every((weight, k) => weight === state.weights[k])));
    }
    clearTimeout(saying);
    saying = setTimeout(say, 700);
  });
})();
