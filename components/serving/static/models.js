// Models: the choice of a model and one of its versions, and the card of what is chosen.
"use strict";

import { element, json, part, problem } from "./asking.js";

const SHOWN = 3; // rows of scores, until one asks for more

export class Choice {
  constructor(deed, changed) {
    this.deed = deed;
    [this.models, this.versions] = [part(`${deed}-model`), part(`${deed}-version`)];
    this.problem = part(`${deed}-problem`);
    this.card = null;
    this.changed = changed;
    this.models.addEventListener("change", () => this.list());
    this.versions.addEventListener("change", () => this.look());
  }

  // Shows what is known; what was chosen stays chosen where it is still there, and nothing moves where nothing is new.
  fill(known) {
    if (JSON.stringify(known) === JSON.stringify(this.known)) return undefined;
    const [model, version] = [this.models.value, this.versions.value];
    this.known = known;
    this.models.replaceChildren(...known.map((one) => element("option", { value: one.name }, one.name)));
    this.models.disabled = this.versions.disabled = known.length === 0;
    if (!known.length) return undefined;
    if (known.some((one) => one.name === model)) this.models.value = model;
    return this.list(this.models.value === model ? version : "");
  }

  get model() {
    return this.known?.find((one) => one.name === this.models.value);
  }

  // Null is whatever is in service when the request comes.
  get version() {
    return this.versions.value ? Number(this.versions.value) : null;
  }

  list(chosen = "") {
    const { champion, versions } = this.model;
    const now = champion ? `in service (${champion})` : "none in service";
    const others = versions.filter((one) => one.version !== champion);
    this.versions.replaceChildren(
      element("option", { value: "" }, now),
      ...others.map((one) => element("option", { value: one.version }, `${one.version}${remark(one)}`)),
    );
    if (!champion && others.length) this.versions.selectedIndex = 1;
    if (others.some((one) => String(one.version) === chosen)) this.versions.value = chosen;
    return this.look();
  }

  async look() {
    const query = this.version ? `?version=${this.version}` : "";
    const address = `models/${encodeURIComponent(this.models.value)}/card${query}`;
    problem(this.problem, null);
    try {
      const card = await json(address);
      if (card.name !== this.models.value || (this.version ?? card.version) !== card.version) return;
      this.card = card;
    } catch (error) {
      this.card = null;
      problem(this.problem, error);
    }
    this.changed(this.card);
  }
}

function remark(one) {
  if (one.withdrawn) return ", withdrawn";
  if (one.served) return ", was in service";
  return one.verdict === "reject" ? ", rejected by the gate" : one.verdict === "hold" ? ", held" : "";
}

export function showCard(place, card) {
  place.hidden = !card;
  if (!card) return;
  const facts = [
    ["Does", card.mends ? (card.needs_mask ? "fills what is missing" : "restores whole pictures") : "makes pictures"],
    ["Family", card.family],
    ["Learnt on", `${card.size_px} px squares`],
    ["Images seen", card.images_seen.toLocaleString("en")],
    ...(card.classes.length ? [["Classes", card.classes.join(", ")]] : []),
    ...learnt(card.learnt),
  ];
  place.replaceChildren(
    element("h2", { id: "card-title" }, `${card.name}, version ${card.version}`),
    element("dl", { class: "facts" }, ...facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)))),
    ...scores(card),
    ...decision(card),
    element("p", { class: "small muted" }, ...origin(card)),
  );
}

function learnt(said) {
  if (!said) return [];
  const splits = Object.entries(said.splits).map(([name, count]) => `${count.toLocaleString("en")} ${name}`);
  return [
    ["Data", said.source],
    ["Data version", said.version.slice(0, 8)],
    ["Images in the data", `${said.images.toLocaleString("en")} (${splits.join(", ")})`],
    ["Licence of the data", said.licence ?? "not stated"],
  ];
}

function scores(card) {
  if (!card.scores.length) return plain(card.plain_scores);
  const columns = [...new Set(card.scores.flatMap((row) => Object.keys(row.values)))];
  const head = ["Metric", ...columns].map((name, place) => {
    const own = columns[place - 1] === "model" ? { class: "own" } : {};
    return element("th", { scope: "col", ...own }, columns[place - 1] === "champion" ? "champion then" : name.replaceAll("_", " "));
  });
  const rows = card.scores.map((row, place) =>
    element("tr", place < SHOWN ? {} : { hidden: "" }, element("th", { scope: "row" }, row.metric.replaceAll("_", " "), element("span", { class: "role" }, `${row.better} is better`)), ...columns.map((name) => cell(row, name))),
  );
  const caption = element("caption", {}, element("span", {}, "Scores, with what needs no training beside them. ", sentence(card.ground)));
  const table = element("table", { class: "scores" }, caption, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
  const shown = [element("div", { class: "scroll", role: "region", "aria-label": "Scores", tabindex: "0" }, table)];
  return rows.length > SHOWN ? [...shown, more(rows)] : shown;
}

function more(rows) {
  const button = element("button", { type: "button", class: "small" }, `All ${rows.length} scores`);
  button.addEventListener("click", () => {
    for (const row of rows) row.hidden = false;
    button.hidden = true;
  });
  return button;
}

const sentence = (words) => (words ? `${words[0].toUpperCase()}${words.slice(1)}.` : "");

function cell(row, name) {
  const made = element("td", name === "model" ? { class: "own" } : {});
  if (name in row.values) {
    const look = row.best.includes(name) ? "best" : "value";
    made.append(element("span", { class: look }, row.values[name]), element("span", { class: "interval" }, row.intervals[name]));
  }
  return made;
}

function plain(values) {
  const main = Object.entries(values).filter(([name]) => !name.includes("/"));
  if (!main.length) return [];
  return [element("p", {}, "Scores: ", main.map(([name, value]) => `${name} ${value.toPrecision(4)}`).join(", "))];
}

function decision(card) {
  if (!card.reasons.length) return [];
  const list = element("ul", { class: "small" }, ...card.reasons.map((one) => element("li", {}, one)));
  return [element("details", {}, element("summary", {}, `Why the gate said: ${card.decision}`), list)];
}

function origin(card) {
  const digest = ["Export ", element("code", {}, card.export.slice(0, 12))];
  return card.page ? [element("a", { href: card.page }, "The page of its run"), ". ", ...digest] : digest;
}
