// Drawing: a sheet of pictures by a model, from a seed that can be drawn anew.
"use strict";

import { ask, element, part, problem, working } from "./asking.js";

export class Drawing {
  constructor(choice) {
    this.choice = choice;
    part("wish").addEventListener("submit", (event) => {
      event.preventDefault();
      this.draw();
    });
    part("draw-again").addEventListener("click", () => {
      part("seed").value = crypto.getRandomValues(new Uint32Array(1))[0];
      this.draw();
    });
  }

  chosen(card) {
    const classes = card?.classes ?? [];
    part("class-choice").hidden = classes.length === 0;
    part("class").replaceChildren(element("option", { value: "" }, "any"), ...classes.map((name) => element("option", { value: name }, name)));
  }

  async draw() {
    problem(this.choice.problem, null);
    const wish = { model: this.choice.models.value, count: Number(part("count").value), seed: Number(part("seed").value) };
    if (this.choice.version) wish.version = this.choice.version;
    if (part("class").value) wish.class = part("class").value;
    part("draw-again").disabled = true;
    try {
      await working(part("draw-now"), part("sheet-said"), "Drawing …", async (ending) => {
        const options = { method: "POST", body: JSON.stringify(wish), headers: { "Content-Type": "application/json" } };
        const answer = await ask("generate", { ...options, signal: ending.signal });
        this.sheet = { blob: await answer.blob(), model: answer.headers.get("X-Kintsugi-Model"), version: answer.headers.get("X-Kintsugi-Version") };
      });
      this.show(wish);
    } catch (error) {
      problem(this.choice.problem, error);
    } finally {
      part("draw-again").disabled = false;
    }
  }

  show({ count, seed, class: of }) {
    const { blob, model, version } = this.sheet;
    if (part("sheet").src) URL.revokeObjectURL(part("sheet").src);
    part("sheet").src = part("save-sheet").href = URL.createObjectURL(blob);
    part("save-sheet").download = `${model}-${version}-seed-${seed}.png`;
    part("sheet-said").textContent = `${count} ${count === 1 ? "picture" : "pictures"}${of ? ` of ${of}` : ""} by ${model}, version ${version}, seed ${seed}.`;
    part("sheet-figure").hidden = part("sheet-save").hidden = false;
  }
}
