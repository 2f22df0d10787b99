// Folded sections: a link to a section, or to something inside it, opens it; a button opens all; paper gets all.
"use strict";

// The part of a fragment before the first "&" is an id; the rest is the sliders' (share.js). null where there is no such element.
function targetOf(hash) {
  try {
    const id = decodeURIComponent(hash.slice(1).split("&")[0]);
    return id ? document.getElementById(id) : null;
  } catch {
    return null; // no address that this page ever wrote
  }
}

function reveal(target) {
  for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
}

// Where only the browser's history moves, the browser restores the place: nothing scrolls here.
addEventListener("hashchange", () => reveal(targetOf(location.hash)));
document.addEventListener("click", (event) => {
  const link = event.target.closest?.('a[href^="#"]');
  if (link) reveal(targetOf(link.hash)); // before the browser goes there
});
addEventListener("load", () => { // when the scripts have laid out the page
  const target = targetOf(location.hash);
  reveal(target);
  target?.scrollIntoView();
});

const folded = [...document.querySelectorAll("details.section")];
const unfold = document.getElementById("unfold");
const areOpen = () => folded.every((section) => section.open);
unfold.hidden = false;
unfold.addEventListener("click", () => {
  const open = !areOpen();
  for (const section of folded) section.open = open;
});
document.addEventListener("toggle", () => { unfold.textContent = areOpen() ? "fold all" : "open all"; }, true);

let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open])")];
  for (const section of closed) section.open = true;
});
addEventListener("afterprint", () => { for (const section of closed) section.open = false; });

for (const link of document.querySelectorAll("a.term")) {
  link.title = document.querySelector(`${link.getAttribute("href")} td:last-child`).textContent;
}
