// The picture under the masks of its objects, and the tools that draw them. Nothing here speaks to the server.

const VIEW_PX = 1600;
const UNDO_BYTES = 400e6;
export const COLOURS = ["#2f7bff", "#e6194b", "#f0a000", "#10b050", "#a43ad0", "#00a5b5"];

export function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width));
  canvas.height = Math.max(1, Math.round(height));
  return canvas;
}

export function viewScale(width, height) {
  return Math.min(1, VIEW_PX / Math.max(width, height));
}

export class Drawing {
  // `find(kind, what)` gives the mask of a box or of points, as a bitmap; `changed()` is told of every change.
  constructor(canvas, find, changed) {
    Object.assign(this, { canvas, find, changed, tool: "paint", brush: 16, objects: [], current: 0 });
    this.cursor = null;
    this.held = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      canvas.setPointerCapture(event.pointerId);
      this.press(this.at(event));
    });
    canvas.addEventListener("pointermove", (event) => this.move(this.at(event)));
    canvas.addEventListener("pointerup", (event) => this.release(this.at(event)));
    canvas.addEventListener("pointercancel", () => { this.held = null; this.draw(); });
    canvas.addEventListener("pointerleave", () => { if (!this.held) { this.cursor = null; this.draw(); } });
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  open(bitmap) {
    this.width = bitmap.width;
    this.height = bitmap.height;
    this.scale = viewScale(this.width, this.height);
    this.photo = canvasOf(this.width * this.scale, this.height * this.scale);
    this.canvas.width = this.photo.width;
    this.canvas.height = this.photo.height;
    const context = this.photo.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, this.photo.width, this.photo.height);
    this.objects = [];
    this.cursor = null;
    this.add();
  }

  add() {
    const full = canvasOf(this.width, this.height);
    const view = canvasOf(this.photo.width, this.photo.height);
    const colour = COLOURS.find((each) => !this.objects.some((object) => object.colour === each)) ?? COLOURS[0];
    this.objects.push({ full, view, colour, points: [], undo: [], isEmpty: true });
    this.choose(this.objects.length - 1);
  }

  remove(index) {
    this.objects.splice(index, 1);
    if (this.objects.length) this.choose(Math.min(index, this.objects.length - 1));
    else this.add();
  }

  choose(index) {
    this.current = index;
    this.draw();
    this.changed();
  }

  get object() { return this.objects[this.current]; }

  // ---- tools

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * this.width;
    const y = ((event.clientY - box.top) / box.height) * this.height;
    return { x: Math.min(this.width, Math.max(0, x)), y: Math.min(this.height, Math.max(0, y)) };
  }

  get brushPx() { return (this.brush / 400) * Math.max(this.width, this.height); }

  press(point) {
    this.cursor = point;
    this.held = { from: point, last: point };
    if (this.tool === "paint" || this.tool === "erase") {
      this.remember();
      this.stroke(point, point);
    }
    this.draw();
  }

  move(point) {
    this.cursor = point;
    if (this.held && (this.tool === "paint" || this.tool === "erase")) this.stroke(this.held.last, point);
    if (this.held) this.held.last = point;
    this.draw();
  }

  async release(point) {
    if (!this.held) return;
    const { from } = this.held;
    this.held = null;
    if (this.tool === "paint" || this.tool === "erase") return this.painted();
    if (this.tool === "box") {
      const [left, right] = [from.x, point.x].sort((a, b) => a - b);
      const [top, bottom] = [from.y, point.y].sort((a, b) => a - b);
      const box = [Math.floor(left), Math.floor(top), Math.ceil(right), Math.ceil(bottom)];
      if (box[2] - box[0] > 1 && box[3] - box[1] > 1) await this.found("box", [box.join(",")], []);
    } else {
      const x = Math.min(this.width - 1, Math.floor(point.x));
      const y = Math.min(this.height - 1, Math.floor(point.y));
      const points = [...this.object.points, `${this.tool === "unclick" ? "-" : ""}${x},${y}`];
      await this.found("point", points, points);
    }
    this.draw();
  }

  async found(kind, what, points) {
    const object = this.object;
    const bitmap = await this.find(kind, what);
    if (!bitmap) return;
    this.remember(object);
    object.points = points;
    const context = object.full.getContext("2d");
    context.globalCompositeOperation = "source-over";
    context.clearRect(0, 0, this.width, this.height);
    context.drawImage(bitmap, 0, 0);
    const pixels = context.getImageData(0, 0, this.width, this.height);
    const [red, green, blue] = rgbOf(object.colour);
    for (let i = 0; i < pixels.data.length; i += 4) {
      const isObject = pixels.data[i] > 127;
      pixels.data.set([red, green, blue, isObject ? 255 : 0], i);
    }
    context.putImageData(pixels, 0, 0);
    this.painted(object);
  }

  stroke(from, to) {
    for (const [canvas, scale] of [[this.object.full, 1], [this.object.view, this.scale]]) {
      const context = canvas.getContext("2d");
      context.globalCompositeOperation = this.tool === "erase" ? "destination-out" : "source-over";
      context.strokeStyle = this.object.colour;
      context.lineWidth = this.brushPx * scale;
      context.lineCap = "round";
      context.beginPath();
      context.moveTo(from.x * scale, from.y * scale);
      context.lineTo(to.x * scale + 1e-3, to.y * scale);
      context.stroke();
    }
  }

  painted(object = this.object) {
    const view = object.view.getContext("2d");
    view.globalCompositeOperation = "copy";
    view.drawImage(object.full, 0, 0, object.view.width, object.view.height);
    const { data } = view.getImageData(0, 0, object.view.width, object.view.height);
    object.isEmpty = true;
    for (let i = 3; i < data.length && object.isEmpty; i += 4) object.isEmpty = data[i] < 128;
    this.draw();
    this.changed();
  }

  remember(object = this.object) {
    const copy = canvasOf(this.width, this.height);
    copy.getContext("2d").drawImage(object.full, 0, 0);
    object.undo.push({ copy, points: object.points });
    const most = Math.max(2, Math.floor(UNDO_BYTES / (4 * this.width * this.height)));
    if (object.undo.length > Math.min(30, most)) object.undo.shift();
  }

  undo() {
    const last = this.object.undo.pop();
    if (!last) return;
    const context = this.object.full.getContext("2d");
    context.globalCompositeOperation = "copy";
    context.drawImage(last.copy, 0, 0);
    this.object.points = last.points;
    this.painted();
  }

  clear() {
    this.remember();
    this.object.points = [];
    this.object.full.getContext("2d").clearRect(0, 0, this.width, this.height);
    this.painted();
  }

  // With the keyboard: arrows move the cursor, space presses and releases.
  key(event) {
    const step = (event.shiftKey ? 0.05 : 0.01) * Math.max(this.width, this.height);
    const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    const here = this.cursor ?? { x: this.width / 2, y: this.height / 2 };
    if (x || y) {
      this.move({
        x: Math.min(this.width, Math.max(0, here.x + x * step)),
        y: Math.min(this.height, Math.max(0, here.y + y * step)),
      });
    } else if (event.key === " ") {
      if (this.held) this.release(here);
      else {
        this.press(here);
        if (this.tool !== "box") this.release(here);
      }
    } else return;
    event.preventDefault();
  }

  // ---- what is seen, and what is sent

  draw() {
    const context = this.canvas.getContext("2d");
    context.globalAlpha = 1;
    context.drawImage(this.photo, 0, 0);
    context.globalAlpha = 0.5;
    for (const object of this.objects) context.drawImage(object.view, 0, 0);
    context.globalAlpha = 1;
    const unit = this.canvas.width / (this.canvas.clientWidth || this.canvas.width);
    for (const text of this.object.points) this.drawPoint(context, text, unit);
    if (!this.cursor) return;
    const [x, y] = [this.cursor.x * this.scale, this.cursor.y * this.scale];
    for (const [colour, width] of [["#000", 3], ["#fff", 1.5]]) {
      context.strokeStyle = colour;
      context.lineWidth = width * unit;
      context.beginPath();
      if (this.tool === "paint" || this.tool === "erase") context.arc(x, y, (this.brushPx * this.scale) / 2, 0, 7);
      else if (this.tool === "box" && this.held) {
        const { from } = this.held;
        context.rect(from.x * this.scale, from.y * this.scale, x - from.x * this.scale, y - from.y * this.scale);
      } else {
        context.moveTo(x - 10 * unit, y);
        context.lineTo(x + 10 * unit, y);
        context.moveTo(x, y - 10 * unit);
        context.lineTo(x, y + 10 * unit);
      }
      context.stroke();
    }
  }

  drawPoint(context, text, unit) {
    const isObject = !text.startsWith("-");
    const [x, y] = text.replace("-", "").split(",").map((each) => (Number(each) + 0.5) * this.scale);
    context.fillStyle = isObject ? "#108040" : "#b01020";
    context.strokeStyle = "#fff";
    context.lineWidth = 2 * unit;
    context.beginPath();
    context.arc(x, y, 8 * unit, 0, 7);
    context.fill();
    context.stroke();
    context.beginPath();
    context.moveTo(x - 4 * unit, y);
    context.lineTo(x + 4 * unit, y);
    if (isObject) {
      context.moveTo(x, y - 4 * unit);
      context.lineTo(x, y + 4 * unit);
    }
    context.stroke();
  }

  // PNGs of the masks that are not empty, white on the object, of the picture's own size; front to back.
  async masks() {
    const blobs = [];
    for (const object of this.objects.filter((each) => !each.isEmpty)) {
      const pixels = object.full.getContext("2d").getImageData(0, 0, this.width, this.height);
      for (let i = 0; i < pixels.data.length; i += 4) {
        const level = pixels.data[i + 3] > 127 ? 255 : 0;
        pixels.data.set([level, level, level, 255], i);
      }
      const canvas = canvasOf(this.width, this.height);
      canvas.getContext("2d").putImageData(pixels, 0, 0);
      const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
      if (!blob) throw new Error("this browser cannot draw on a picture so large");
      blobs.push(blob);
    }
    return blobs;
  }
}

function rgbOf(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}
