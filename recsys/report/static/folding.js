// Folded sections: a link to a section, or to something inside it, opens it; a button opens all; paper gets all.
"use strict";

// What the address asks for: the part of the fragment before the first "&" is an id; the rest is the sliders' (share.js).
function openTarget() {
  const id = decodeURIComponent(location.hash.slice(1).split("&")[0]);
  const target = id && document.getElementById(id);
  if (!target) return;
  for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
  target.scrollIntoView();
}
addEventListener("hashchange", openTarget);
addEventListener("load", openTarget); // when the scripts have laid out the page
document.addEventListener("click", (event) => {
  const link = event.target.closest?.('a[href^="#"]');
  if (link && link.hash === location.hash) openTarget(); // no hashchange: the section may have been closed since
});

const folded = document.querySelectorAll("details.section");
const unfold = document.getElementById("unfold");
unfold.hidden = false;
unfold.addEventListener("click", () => {
  const open = unfold.getAttribute("aria-pressed") !== "true";
  unfold.setAttribute("aria-pressed", String(open));
  unfold.textContent = open ? "fold all" : "open all";
  for (const section of folded) section.open = open;
});

let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open])")];
  for (const section of closed) section.open = true;
});
addEventListener("afterprint", () => { for (const section of closed) section.open = false; });

for (const link of document.querySelectorAll("a.term")) {
  link.title = document.querySelector(`${link.getAttribute("href")} td:last-child`).textContent;
}
