// The sliders' state in the address, so that a link restores it: #tradeoffs&w.click=1&w.like=0.5&metric=captured@10%25&across=click&up=like
"use strict";

(() => {
  const { data, state, own, set, watch } = tradeoffs;
  const refused = document.getElementById("mix-refused");
  const axes = { across: document.getElementById("plane-x"), up: document.getElementById("plane-y") };
  const names = data.objectives.map((objective) => objective.name);
  const atStart = Object.fromEntries(Object.entries(axes).map(([key, axis]) => [key, axis.value]));

  // Only what differs from the run's own state: a page that nobody touched keeps its address.
  function written() {
    const found = new URLSearchParams();
    state.weights.forEach((weight, k) => { if (weight !== own[k]) found.set(`w.${names[k]}`, weight); });
    if (state.metric) found.set("metric", data.metrics[state.metric].name);
    for (const [key, axis] of Object.entries(axes)) if (axis.value !== atStart[key]) found.set(key, names[axis.value]);
    return String(found);
  }

  const address = () => {
    const parts = written();
    return `#tradeoffs${parts && `&${parts}`}`;
  };

  const isWeight = (text) => /^(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) && Number(text) <= 1e9;

  // A fragment without a state, as in the navigation, changes nothing.
  function read() {
    const [id, ...rest] = location.hash.slice(1).split("&");
    if (id !== "tradeoffs") return;
    if (!rest.length) return write();
    const asked = new URLSearchParams(rest.join("&")), wrong = [], weights = own.slice();
    let metric = 0;
    const chosen = { ...atStart };
    for (const [key, text] of asked) {
      const k = names.indexOf(key.startsWith("w.") ? key.slice(2) : text), at = data.metrics.findIndex((each) => each.name === text);
      if (key.startsWith("w.") && k >= 0 && isWeight(text)) weights[k] = Number(text);
      else if (key === "metric" && at >= 0) metric = at;
      else if (Object.hasOwn(axes, key) && k >= 0) chosen[key] = String(k);
      else wrong.push(`${key}=${text}`);
    }
    refused.textContent = wrong.length ? `The link holds what this page does not know: ${wrong.join(", ")}. The rest is shown.` : "";
    state.metric = metric;
    for (const radio of document.querySelectorAll("[name=mix-metric]")) radio.checked = Number(radio.value) === metric;
    for (const [key, axis] of Object.entries(axes)) axis.value = chosen[key];
    set(weights);
  }

  // A browser allows only so many new addresses per second. A reader who has gone elsewhere meanwhile keeps that address.
  let waiting;
  function write() {
    clearTimeout(waiting);
    const before = location.hash;
    waiting = setTimeout(() => {
      if (location.hash === before && (written() || before.startsWith("#tradeoffs&"))) history.replaceState(null, "", address());
    }, 200);
  }

  const copied = document.getElementById("mix-copied");
  document.getElementById("mix-link").addEventListener("click", async () => {
    const link = location.href.split("#")[0] + address();
    try {
      await navigator.clipboard.writeText(link);
      copied.textContent = "copied";
    } catch {
      copied.textContent = link;
    }
  });

  addEventListener("hashchange", read);
  read();
  watch(write);
  for (const axis of Object.values(axes)) axis.addEventListener("change", write);
})();
