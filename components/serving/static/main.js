// Main: asks which models there are, and gives each of the two things that people do here its models and its tab.
"use strict";

import { json, part } from "./asking.js";
import { Drawing } from "./drawing.js";
import { Mending } from "./mending.js";
import { Choice, showCard } from "./models.js";

const AGAIN_MS = 5000; // how often an open page asks whether there is something new
const tabs = ["mend", "draw"];
const choices = {};
for (const deed of tabs) choices[deed] = new Choice(deed, (card) => chosen(deed, card));
const mending = new Mending(choices.mend);
const drawing = new Drawing(choices.draw);

function chosen(deed, card) {
  if (deed === "draw") drawing.chosen(card);
  else mending.changed();
  if (!part(deed).hidden) showCard(part("card"), card);
}

function open(deed) {
  for (const one of tabs) {
    const isOpen = one === deed;
    part(one).hidden = !isOpen;
    part(`${one}-tab`).setAttribute("aria-selected", isOpen);
    part(`${one}-tab`).tabIndex = isOpen ? 0 : -1;
  }
  showCard(part("card"), choices[deed].card);
}

for (const [place, deed] of tabs.entries()) {
  part(`${deed}-tab`).addEventListener("click", () => open(deed));
  part(`${deed}-tab`).addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(place + step + tabs.length) % tabs.length];
    open(next);
    part(`${next}-tab`).focus();
  });
}

function notice(words) {
  part("notice").textContent = words;
  part("notice").hidden = !words;
}

async function fill() {
  const models = await json("models");
  const fitting = (deed) => models.filter((one) => one.does === `${deed}s`.replace("draws", "makes"));
  notice(models.length ? "" : "No model is registered yet; kintsugi run CONFIG trains and promotes some.");
  await Promise.all(tabs.map((deed) => choices[deed].fill(fitting(deed))));
  return models.length && !fitting("mend").length ? "draw" : "mend";
}

async function begin() {
  notice("Asking which models there are …");
  try {
    const first = await fill();
    if (first === "draw") open(first);
    setInterval(renew, AGAIN_MS);
  } catch (error) {
    notice(error.message);
    if (error.wait) setTimeout(begin, 1000 * error.wait);
  }
}

// A page stays open for days: models are registered and promoted meanwhile. A service that is away is told when it is needed.
function renew() {
  if (!document.hidden) fill().catch(() => {});
}

begin();
