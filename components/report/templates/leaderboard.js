"use strict";
document.documentElement.classList.add("js");

const SCORE = 2;

const asNumber = (text) => (text === "" || Number.isNaN(Number(text)) ? text : Number(text));

// Empty places come last whichever way is sorted; so do scores that are not comparable with the newest.
const compare = (a, b, way) => {
  if (a === "" || b === "") return (a === "") - (b === "");
  return way * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
};

const printed = (value, decimals) =>
  value.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals }).replace("-", "\u2212");

for (const board of document.querySelectorAll(".board")) {
  const table = board.querySelector(".versions");
  const [body] = table.tBodies;
  const heads = [...table.tHead.rows[0].cells];
  const search = board.querySelector("input[type=search]");
  const verdict = board.querySelector(".by-verdict");
  const score = board.querySelector(".by-score");
  const output = board.querySelector("output");
  const all = board.querySelector(".show-all");
  const state = { column: 0, way: -1, metric: null, shown: body.rows.length };
  let data = null;
  let rows = null;

  // The page opens with the newest versions alone; the others are text that nobody parses until somebody asks.
  const gather = () => {
    if (rows) return;
    const older = document.createElement("template");
    older.innerHTML = board.querySelector("noscript")?.textContent ?? "";
    body.append(...older.content.querySelectorAll("tbody tr"));
    data = JSON.parse(board.querySelector("script").textContent);
    state.metric = data.main;
    rows = [...body.rows].map((element, place) => ({ element, scores: data.rows[place], words: null }));
  };

  const key = (row) => {
    if (state.column !== SCORE) return asNumber(row.element.cells[state.column].dataset.v);
    const found = row.scores[state.metric];
    return found ? found[0] : "";
  };
  const group = (row) => (state.column === SCORE && row.scores[state.metric] ? row.scores[state.metric][3] : 0);

  const sort = () => {
    const keyed = rows.map((row) => [row, key(row), group(row)]);
    keyed.sort((a, b) => a[2] - b[2] || compare(a[1], b[1], state.way));
    rows.splice(0, rows.length, ...keyed.map(([row]) => row));
    body.append(...rows.map((row) => row.element));
    heads.forEach((head, place) => {
      if (place === state.column) head.setAttribute("aria-sort", state.way > 0 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
  };

  const fits = (row, words) => {
    const { dataset } = row.element;
    if (verdict.value === "served" ? !("served" in dataset) : verdict.value && dataset.verdict !== verdict.value) return false;
    if (!words.length) return true;
    row.words ??= row.element.textContent.toLowerCase();
    return words.every((word) => row.words.includes(word));
  };

  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let fitting = 0;
    for (const row of rows) {
      const isFitting = fits(row, words);
      fitting += isFitting;
      row.element.hidden = !isFitting || fitting > state.shown;
    }
    output.textContent = `${Math.min(fitting, state.shown)} of ${fitting} shown`;
    all.parentElement.hidden = fitting <= state.shown;
    all.textContent = `Show all ${fitting}`;
  };

  const print = () => {
    const { name, decimals } = data.metrics[state.metric];
    board.querySelector(".score-name").textContent = name;
    for (const row of rows) {
      const cell = row.element.cells[SCORE];
      const found = row.scores[state.metric];
      cell.replaceChildren();
      cell.classList.toggle("other", Boolean(found && found[3]));
      row.words = null;
      if (!found) continue;
      const [value, low, high] = found;
      cell.append(printed(value, decimals));
      if (low === null) continue;
      const interval = document.createElement("span");
      interval.className = "interval";
      interval.textContent = `[${printed(low, decimals)}, ${printed(high, decimals)}]`;
      cell.append(" ", interval);
    }
  };

  const on = (element, event, act) =>
    element?.addEventListener(event, () => {
      gather();
      act();
      filter();
    });

  heads.forEach((head, column) => {
    on(head.querySelector("button"), "click", () => {
      // The best first: of scores where lower is better the lowest, of all else the largest and the newest.
      const isLow = column === SCORE && data.metrics[state.metric].better === "lower";
      state.way = state.column === column ? -state.way : isLow ? 1 : -1;
      state.column = column;
      sort();
    });
  });
  on(search, "input", () => {});
  on(verdict, "change", () => {});
  on(score, "change", () => {
    state.metric = score.selectedIndex;
    print();
    if (state.column === SCORE) sort();
  });
  on(all, "click", () => {
    state.shown = Infinity;
  });
}
