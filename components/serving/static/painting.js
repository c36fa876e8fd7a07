// Painting: what is marked on a photo, kept as deeds in the photo's own pixels, shown on a canvas that fits the page.
"use strict";

const SHOWN = 0.6; // opacity of the paint
const MARKED = 32; // alpha from which a pixel of the paint's soft rim counts as marked

export class Painting {
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed; // called whenever there is something else to undo, or the brush moves by keys
    this.photo = null;
    this.erases = false;
    this.size = 24; // of the brush on the screen, in CSS pixels
    this.keys = { x: 0, y: 0, shown: false, down: false };
    this.pointer = null;
    this.reset();
    this.listen();
  }

  reset() {
    this.deeds = [];
    this.undone = [];
    this.stroke = null;
  }

  show(photo) {
    this.photo = photo;
    this.reset();
    Object.assign(this.keys, { x: photo.width / 2, y: photo.height / 2, shown: false, down: false });
    this.fit();
  }

  fit() {
    if (!this.photo || !this.canvas.parentElement.clientWidth) return;
    const room = { width: this.canvas.parentElement.clientWidth, height: Math.max(240, innerHeight * 0.6) };
    const largest = Math.min(room.width / this.photo.width, room.height / this.photo.height);
    const [width, height] = [this.photo.width, this.photo.height].map((side) => Math.max(1, Math.round(side * largest)));
    const density = Math.min(devicePixelRatio || 1, 2);
    this.css = width / this.photo.width; // CSS pixels per pixel of the photo
    this.scale = (width * density) / this.photo.width; // of the canvas
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    this.canvas.width = Math.round(width * density);
    this.canvas.height = Math.round(height * density);
    this.ground = this.layer();
    const ground = this.ground.getContext("2d");
    ground.imageSmoothingEnabled = this.css < 2;
    ground.imageSmoothingQuality = "high";
    ground.drawImage(this.photo.image, 0, 0, this.canvas.width, this.canvas.height);
    this.paint = this.layer();
    this.replay(this.paint, this.scale);
    this.draw();
  }

  layer(width = this.canvas.width, height = this.canvas.height) {
    return Object.assign(document.createElement("canvas"), { width, height });
  }

  draw() {
    const context = this.canvas.getContext("2d");
    context.drawImage(this.ground, 0, 0);
    context.globalAlpha = SHOWN;
    context.drawImage(this.paint, 0, 0);
    context.globalAlpha = 1;
    const at = this.pointer ?? (this.keys.shown ? this.keys : null);
    if (!at) return;
    for (const [colour, width] of [["#000", 3], [this.keys.down ? "#e0b04c" : "#fff", 1.5]]) {
      context.beginPath();
      context.arc(at.x * this.scale, at.y * this.scale, (this.brush / 2) * this.scale, 0, 2 * Math.PI);
      context.strokeStyle = colour;
      context.lineWidth = width;
      context.stroke();
    }
  }

  get brush() {
    return this.size / this.css; // in pixels of the photo
  }

  // Deeds

  replay(layer, scale) {
    for (const deed of this.deeds) deed(layer, scale);
  }

  did(deed) {
    this.deeds.push(deed);
    this.undone = [];
    this.changed();
  }

  do(deed) {
    deed(this.paint, this.scale);
    this.did(deed);
    this.draw();
  }

  undo() {
    this.move(this.deeds, this.undone);
  }

  redo() {
    this.move(this.undone, this.deeds);
  }

  move(from, to) {
    if (this.stroke || !from.length) return;
    to.push(from.pop());
    this.paint = this.layer();
    this.replay(this.paint, this.scale);
    this.draw();
    this.changed();
  }

  clear() {
    this.do((layer) => layer.getContext("2d").clearRect(0, 0, layer.width, layer.height));
  }

  invert() {
    this.do((layer) => filled(layer, "source-out"));
  }

  mark(image) {
    // A mask from a file: opaque where something is marked.
    this.do((layer) => layer.getContext("2d").drawImage(image, 0, 0, layer.width, layer.height));
  }

  begin(x, y) {
    this.stroke = { points: [[x, y]], width: this.brush, erases: this.erases };
    segment(this.paint, this.scale, this.stroke, 0);
    this.draw();
  }

  follow(x, y) {
    this.stroke.points.push([x, y]);
    segment(this.paint, this.scale, this.stroke, this.stroke.points.length - 2);
    this.draw();
  }

  end() {
    const stroke = this.stroke;
    this.stroke = null;
    if (stroke) this.did((layer, scale) => segment(layer, scale, stroke, 0));
  }

  // What is marked, as a PNG of the photo's own size: white on black. Null if nothing is.

  async mask() {
    const { width, height } = this.photo;
    const layer = this.layer(width, height);
    this.replay(layer, 1);
    const context = layer.getContext("2d");
    const pixels = context.getImageData(0, 0, width, height);
    const words = new Uint32Array(pixels.data.buffer);
    const bytes = pixels.data;
    let marked = 0;
    for (let place = 0; place < words.length; place += 1) {
      const isMarked = bytes[4 * place + 3] > MARKED;
      marked += isMarked;
      words[place] = isMarked ? 0xffffffff : 0xff000000;
    }
    context.putImageData(pixels, 0, 0);
    const file = marked ? await new Promise((done) => layer.toBlob(done, "image/png")) : null;
    if (marked && !file) throw new Error(`This browser cannot make a mask of ${width} × ${height} pixels.`);
    return { file, share: marked / words.length };
  }

  // Hands

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => {
      if (!event.isPrimary) return this.end(); // a second finger zooms
      if (event.button !== 0) return;
      event.preventDefault();
      canvas.focus({ preventScroll: true });
      canvas.setPointerCapture(event.pointerId);
      this.keys.shown = false;
      this.pointer = this.place(event);
      this.begin(this.pointer.x, this.pointer.y);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!event.isPrimary) return;
      const moves = event.getCoalescedEvents?.() ?? [];
      for (const one of moves.length ? moves : [event]) {
        this.pointer = this.place(one);
        if (this.stroke && !this.keys.down) this.follow(this.pointer.x, this.pointer.y);
      }
      if (!this.stroke) this.draw();
    });
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => this.lift());
    canvas.addEventListener("pointerleave", () => {
      this.pointer = null;
      this.draw();
    });
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("focus", () => {
      if (canvas.matches(":focus-visible")) this.keys.shown = true;
      this.draw();
    });
    canvas.addEventListener("blur", () => {
      this.lift();
      this.keys.shown = false;
      this.draw();
    });
    addEventListener("resize", () => this.fit());
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: (event.clientX - box.left) / this.css, y: (event.clientY - box.top) / this.css };
  }

  lift() {
    this.keys.down = false;
    this.end();
    this.changed();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way && event.key !== " ") return;
    event.preventDefault();
    this.pointer = null;
    this.keys.shown = true;
    if (way) this.step(way, event.shiftKey ? 4 : 1);
    else if (this.keys.down) this.lift();
    else {
      this.keys.down = true;
      this.begin(this.keys.x, this.keys.y);
      this.changed();
    }
    this.draw();
  }

  step([across, down], times) {
    const step = Math.max(1, (this.brush / 3) * times);
    this.keys.x = Math.min(this.photo.width, Math.max(0, this.keys.x + across * step));
    this.keys.y = Math.min(this.photo.height, Math.max(0, this.keys.y + down * step));
    if (this.keys.down) this.follow(this.keys.x, this.keys.y);
  }
}

function segment(layer, scale, stroke, first) {
  const context = layer.getContext("2d");
  context.save();
  context.globalCompositeOperation = stroke.erases ? "destination-out" : "source-over";
  context.strokeStyle = "#d99a2b";
  context.lineWidth = stroke.width * scale;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  stroke.points.slice(first).forEach(([x, y]) => context.lineTo(x * scale, y * scale));
  const [x, y] = stroke.points.at(-1);
  context.lineTo(x * scale + 0.01, y * scale); // a single point is a dot, too
  context.stroke();
  context.restore();
}

function filled(layer, way) {
  const context = layer.getContext("2d");
  context.save();
  context.globalCompositeOperation = way;
  context.fillStyle = "#d99a2b";
  context.fillRect(0, 0, layer.width, layer.height);
  context.restore();
}
