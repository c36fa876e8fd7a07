// Mending: a photo is chosen, painted on and mended; before and after are compared; the result is saved or mended on.
"use strict";

import { Refusal, ask, part, problem, working } from "./asking.js";
import { Painting } from "./painting.js";

const SENT = { "image/png": "png", "image/jpeg": "jpeg", "image/webp": "webp" };
const MOST_BYTES = 32 * 2 ** 20;
const SMALL_PX = 256;

export class Mending {
  constructor(choice) {
    this.choice = choice;
    this.photo = null;
    this.result = null;
    this.addresses = {};
    this.painting = new Painting(part("canvas"), () => this.changed());
    this.listen();
  }

  // The photo

  async take(file) {
    problem(this.choice.problem, null);
    try {
      const photo = await opened(file, "photo");
      if (!(file.type in SENT) || (await isTurnedByServersAlone(file))) photo.file = await asPng(photo);
      if (photo.file.size > MOST_BYTES) throw new Refusal(`${file.name || "The photo"} has ${(photo.file.size / 2 ** 20).toFixed(0)} MiB; at most ${MOST_BYTES / 2 ** 20} are taken.`);
      this.photo = photo;
    } catch (error) {
      return problem(this.choice.problem, error);
    }
    this.step("easel");
    this.painting.show(this.photo);
    part("canvas").parentElement.classList.toggle("small-picture", isSmall(this.photo));
    this.changed();
    part("canvas").focus({ preventScroll: true });
  }

  step(name) {
    for (const one of ["drop", "easel", "result"]) part(one).hidden = one !== name;
    problem(this.choice.problem, null);
    if (name === "easel") this.painting.fit();
  }

  changed() {
    const { deeds, undone, keys } = this.painting;
    part("undo").disabled = part("clear").disabled = deeds.length === 0;
    part("redo").disabled = undone.length === 0;
    const size = this.photo ? `${this.photo.width} × ${this.photo.height} pixels. ` : "";
    const hint = this.choice.card && !this.choice.card.needs_mask ? "Mend restores the whole picture; paint what is gone." : "Paint over what is damaged.";
    part("told").textContent = keys.down ? "The brush is down; Space lifts it." : deeds.length ? `${size}Painted; Mend fills it.` : `${size}${hint}`;
  }

  async takeMask(file) {
    problem(this.choice.problem, null);
    try {
      const mask = await opened(file, "mask");
      this.painting.mark(marks(mask));
      if (mask.width !== this.photo.width || mask.height !== this.photo.height) {
        part("told").textContent = `The mask of ${mask.width} × ${mask.height} pixels is laid over the whole photo.`;
      }
    } catch (error) {
      problem(this.choice.problem, error);
    }
  }

  // The work

  async mend() {
    problem(this.choice.problem, null);
    part("cancel").hidden = false;
    try {
      await working(part("mend-now"), part("told"), "Mending …", async (ending) => {
        part("cancel").onclick = () => ending.abort();
        const { file, share } = await this.painting.mask();
        if (!file && (this.choice.card?.needs_mask ?? true)) throw new Refusal("Nothing is painted yet: paint over what is damaged.");
        const answer = await ask("repair", { method: "POST", body: this.form(file), signal: ending.signal });
        this.show(await answer.blob(), answer.headers, share);
      });
    } catch (error) {
      if (error.name !== "AbortError") problem(this.choice.problem, error);
      this.changed();
    } finally {
      part("cancel").hidden = true;
    }
  }

  form(mask) {
    const form = new FormData();
    form.append("image", this.photo.file, "image");
    if (mask) form.append("mask", mask, "mask.png");
    form.append("model", this.choice.models.value);
    if (this.choice.version) form.append("version", this.choice.version);
    form.append("mask_is", "white");
    form.append("format", SENT[this.photo.file.type]);
    return form;
  }

  show(blob, headers, share) {
    this.result = blob;
    const stem = this.photo.name.replace(/\.[^.]*$/, "") || "photo";
    part("save").download = `${stem}-mended.${SENT[blob.type] === "jpeg" ? "jpg" : SENT[blob.type]}`;
    part("save").href = this.address("after", blob);
    part("after").src = part("save").href;
    part("before").src = this.address("before", this.photo.file);
    part("said").textContent = `${(100 * share).toFixed(share < 0.01 ? 2 : 1)} % mended by ${headers.get("X-Kintsugi-Model")}, version ${headers.get("X-Kintsugi-Version")}.`;
    this.step("result");
    this.fit();
    this.cut(50);
    part("cut").focus({ preventScroll: true });
  }

  address(name, blob) {
    if (this.addresses[name]) URL.revokeObjectURL(this.addresses[name]);
    return (this.addresses[name] = URL.createObjectURL(blob));
  }

  fit() {
    if (!this.photo || part("result").hidden) return;
    const stage = part("compare");
    const largest = Math.min(stage.parentElement.clientWidth / this.photo.width, Math.max(240, innerHeight * 0.6) / this.photo.height);
    stage.style.width = `${Math.round(this.photo.width * largest)}px`;
    stage.style.height = `${Math.round(this.photo.height * largest)}px`;
    stage.classList.toggle("small-picture", isSmall(this.photo));
  }

  cut(percent) {
    part("cut").value = percent;
    part("compare").style.setProperty("--cut", `${percent}%`);
    part("cut").setAttribute("aria-valuetext", `${percent} % before, ${100 - percent} % after`);
  }

  // Hands

  listen() {
    const { painting } = this;
    const press = (name, deed) => part(name).addEventListener("click", deed);
    const choose = (button, input, taken) => {
      press(button, () => part(input).click());
      part(input).addEventListener("change", () => {
        const [file] = part(input).files;
        part(input).value = "";
        if (file) taken(file);
      });
    };
    choose("choose-photo", "photo", (file) => this.take(file));
    choose("choose-mask", "mask", (file) => this.takeMask(file));
    for (const name of ["other-photo", "next-photo"]) press(name, () => part("photo").click());
    press("brush", () => this.use(false));
    press("eraser", () => this.use(true));
    press("undo", () => painting.undo());
    press("redo", () => painting.redo());
    press("clear", () => painting.clear());
    press("invert", () => painting.invert());
    press("mend-now", () => this.mend());
    press("paint-on", () => this.step("easel"));
    press("go-on", () => this.take(new File([this.result], this.photo.name, { type: this.result.type })));
    part("size").addEventListener("input", () => this.resize(Number(part("size").value)));
    part("cut").addEventListener("input", () => this.cut(part("cut").value));
    part("compare").addEventListener("pointerdown", (event) => part("compare").setPointerCapture(event.pointerId));
    for (const name of ["pointerdown", "pointermove"]) part("compare").addEventListener(name, (event) => this.drag(event));
    addEventListener("keydown", (event) => this.key(event));
    addEventListener("resize", () => this.fit());
    addEventListener("paste", (event) => this.drop(event.clipboardData, event));
    addEventListener("dragover", (event) => {
      event.preventDefault();
      document.body.classList.add("over");
    });
    addEventListener("dragleave", (event) => event.relatedTarget || document.body.classList.remove("over"));
    addEventListener("drop", (event) => {
      document.body.classList.remove("over");
      this.drop(event.dataTransfer, event);
    });
  }

  drop(given, event) {
    const [file] = given?.files ?? [];
    if (!file || part("mend").hidden) return;
    event.preventDefault();
    this.take(file);
  }

  drag(event) {
    if (!event.buttons) return;
    const box = part("compare").getBoundingClientRect();
    this.cut(Math.round(Math.min(100, Math.max(0, (100 * (event.clientX - box.left)) / box.width))));
  }

  use(erases) {
    this.painting.erases = erases;
    part("brush").setAttribute("aria-pressed", !erases);
    part("eraser").setAttribute("aria-pressed", erases);
  }

  resize(size) {
    this.painting.size = Math.min(100, Math.max(2, size));
    part("size").value = this.painting.size;
    this.painting.draw();
  }

  key(event) {
    if (part("mend").hidden || part("easel").hidden || event.target.matches("input, select") || event.altKey) return;
    const key = event.key.toLowerCase();
    const isCommand = event.ctrlKey || event.metaKey;
    const deeds = isCommand
      ? { z: () => (event.shiftKey ? this.painting.redo() : this.painting.undo()), y: () => this.painting.redo() }
      : { b: () => this.use(false), e: () => this.use(true), "[": () => this.resize(this.painting.size / 1.25), "]": () => this.resize(this.painting.size * 1.25) };
    if (!(key in deeds)) return;
    event.preventDefault();
    deeds[key]();
  }
}

async function opened(file, what) {
  const image = new Image(); // as the browser shows it: upright by its EXIF
  const address = URL.createObjectURL(file);
  image.src = address;
  try {
    await image.decode();
  } catch {
    throw new Refusal(`${file.name || `The ${what}`} is no picture that this browser can read; choose a PNG, JPEG or WebP file.`);
  } finally {
    URL.revokeObjectURL(address);
  }
  return { image, file, name: file.name || "photo", width: image.naturalWidth, height: image.naturalHeight };
}

// Browsers leave WebP as it lies, whatever its EXIF says; this service turns it upright.
async function isTurnedByServersAlone(file) {
  if (file.type !== "image/webp") return false;
  const view = new DataView(await file.arrayBuffer());
  const name = (at) => String.fromCharCode(...new Uint8Array(view.buffer, at, 4));
  for (let at = 12; at + 8 <= view.byteLength; at += 8 + ((view.getUint32(at + 4, true) + 1) & ~1)) {
    if (name(at) === "EXIF") return true;
  }
  return false;
}

async function asPng(photo) {
  const canvas = copied(photo);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  if (!blob) throw new Refusal(`${photo.name} is too large for this browser to convert; choose a PNG, JPEG or WebP file.`);
  return blob;
}

// A mask from a file, opaque where it marks: where it is opaque if that varies, else where it is bright.
function marks(mask) {
  const canvas = copied(mask);
  const context = canvas.getContext("2d");
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  const bytes = pixels.data;
  let least = 255;
  for (let place = 3; place < bytes.length; place += 4) least = Math.min(least, bytes[place]);
  for (let place = 0; place < bytes.length; place += 4) {
    const bright = Math.max(bytes[place], bytes[place + 1], bytes[place + 2]);
    const isMarked = (least < 255 ? bytes[place + 3] : bright) > 127;
    bytes.set([217, 154, 43, isMarked ? 255 : 0], place);
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

function copied({ image, width, height }) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  canvas.getContext("2d").drawImage(image, 0, 0);
  return canvas;
}

const isSmall = (photo) => Math.max(photo.width, photo.height) <= SMALL_PX;
