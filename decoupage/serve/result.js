// The layers that came back: over one another, against the picture, or their alphas; objects can be dragged.

import { canvasOf, viewScale } from "/drawing.js";

export class Result {
  constructor(canvas, changed) {
    Object.assign(this, { canvas, changed, layers: [], view: "layers", split: 0.5, chosen: 0, held: null });
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button || !this.layers.length) return;
      canvas.setPointerCapture(event.pointerId);
      const at = this.at(event);
      if (this.view === "layers") {
        const hit = this.layers.findIndex((layer) => layer.isObject && layer.isShown && opaqueAt(layer, at));
        if (hit < 0) return;
        this.chosen = hit;
      }
      this.held = at;
      this.move(at);
    });
    canvas.addEventListener("pointermove", (event) => { if (this.held) this.move(this.at(event)); });
    for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, () => { this.held = null; });
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  // `layers`: front to back, [{name, file, bitmap}], the background last; `photo`: the picture.
  open(photo, layers) {
    this.scale = viewScale(photo.width, photo.height);
    this.canvas.width = Math.round(photo.width * this.scale);
    this.canvas.height = Math.round(photo.height * this.scale);
    const inView = (bitmap) => {
      const canvas = canvasOf(this.canvas.width, this.canvas.height);
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.imageSmoothingQuality = "high";
      context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
      return canvas;
    };
    this.photo = inView(photo);
    this.layers = layers.map(({ name, file, bitmap }) => ({
      name, file, picture: inView(bitmap), isShown: true, x: 0, y: 0,
      isObject: file.startsWith("foreground"), isBackground: file === "background.png",
    }));
    this.chosen = Math.max(0, this.layers.findIndex((layer) => layer.isObject));
    this.draw();
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * this.canvas.width;
    return { x, y: ((event.clientY - box.top) / box.height) * this.canvas.height };
  }

  move(at) {
    if (this.view === "compare") this.split = Math.min(1, Math.max(0, at.x / this.canvas.width));
    if (this.view === "layers") {
      this.layers[this.chosen].x += at.x - this.held.x;
      this.layers[this.chosen].y += at.y - this.held.y;
    }
    this.held = at;
    this.draw();
    this.changed();
  }

  key(event) {
    const step = (event.shiftKey ? 0.05 : 0.01) * this.canvas.width;
    const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    const layer = this.layers[this.chosen];
    if (event.key === "0") this.putBack();
    else if (!x && !y) return;
    else if (this.view === "compare") this.split = Math.min(1, Math.max(0, this.split + x * 0.02));
    else if (layer.isObject) Object.assign(layer, { x: layer.x + x * step, y: layer.y + y * step });
    event.preventDefault();
    this.draw();
    this.changed();
  }

  putBack() {
    for (const layer of this.layers) Object.assign(layer, { x: 0, y: 0 });
    this.draw();
  }

  draw() {
    const context = this.canvas.getContext("2d");
    const { width, height } = this.canvas;
    this.canvas.dataset.view = this.view;
    context.clearRect(0, 0, width, height);
    if (this.view === "alpha") return this.drawAlpha(context);
    for (const layer of [...this.layers].reverse()) {
      if (layer.isShown) context.drawImage(layer.picture, layer.x, layer.y);
    }
    if (this.view !== "compare") return undefined;
    const x = this.split * width;
    const unit = width / (this.canvas.clientWidth || width);
    context.clearRect(0, 0, x, height);
    if (x >= 1) context.drawImage(this.photo, 0, 0, x, height, 0, 0, x, height);
    context.fillStyle = "#fff";
    context.fillRect(x - 1.5 * unit, 0, 3 * unit, height);
    context.beginPath();
    context.arc(x, height / 2, 12 * unit, 0, 7);
    context.fill();
    return undefined;
  }

  drawAlpha(context) {
    const { picture } = this.layers[this.chosen];
    const pixels = picture.getContext("2d").getImageData(0, 0, picture.width, picture.height);
    for (let i = 0; i < pixels.data.length; i += 4) {
      const level = pixels.data[i + 3];
      pixels.data.set([level, level, level, 255], i);
    }
    context.putImageData(pixels, 0, 0);
  }
}

function opaqueAt(layer, at) {
  const [x, y] = [Math.floor(at.x - layer.x), Math.floor(at.y - layer.y)];
  if (x < 0 || y < 0 || x >= layer.picture.width || y >= layer.picture.height) return false;
  return layer.picture.getContext("2d").getImageData(x, y, 1, 1).data[3] > 20;
}
