// The way through the page: a picture, its objects, the job, the result. Speaks to this server alone.

import { Drawing } from "/drawing.js";
import { Result } from "/result.js";
import { Refused, ask } from "/server.js";

const $ = (id) => document.getElementById(id);
const HINTS = {
  paint: "Paint over the object; roughly is enough.",
  erase: "Erase what does not belong to it.",
  box: "Draw a box around the object; what is in it is found by its colours.",
  click: "Click on the object, as often as is needed.",
  unclick: "Click beside the object, on what was taken wrongly.",
};
const VIEW_HINTS = {
  layers: "Drag an object over the background behind it, or choose it and use the arrow keys.",
  compare: "Left of the line the picture, right of it the layers; drag the line.",
  alpha: "White is opaque, black is not there; choose a layer.",
};
const POLL_MS = 250;
const KEEP_MS = 60_000;
let file = null;
let photo = null;
let job = null;
let sending = null;
let about = null;

function form(fields, masks = []) {
  const found = new FormData();
  found.append("image", file, file.name || "picture.png");
  for (const [name, values] of Object.entries(fields)) for (const value of [values].flat()) found.append(name, value);
  masks.forEach((mask, index) => found.append("mask", mask, `object ${index + 1}.png`));
  return found;
}

// ---- what is seen

function show(step) {
  document.body.dataset.step = step;
  for (const id of ["token-form", "start", "draw", "running", "result"]) $(id).hidden = id !== step;
  if (step === "draw") drawing.draw();
  if (step === "result") result.draw();
}

function tell(fault) {
  $("message").hidden = !fault?.message;
  $("message").textContent = fault ? fault.message : "";
  if (fault) $("message").scrollIntoView({ block: "nearest" });
  if (fault && fault.status === 401) show("token-form");
}

async function trying(work) {
  tell(null);
  try {
    return await work();
  } catch (fault) {
    tell(fault);
    return null;
  }
}

// ---- a picture and its objects

const drawing = new Drawing($("canvas"), async (kind, what) => {
  $("busy").hidden = false;
  try {
    return await trying(async () => {
      const fields = kind === "box" ? { box: what, refine: "true" } : { point: what };
      return createImageBitmap(await (await ask("/v1/select", { method: "POST", body: form(fields) })).blob());
    });
  } finally {
    $("busy").hidden = true;
  }
}, () => {
  $("run").disabled = drawing.objects.every((object) => object.isEmpty);
  $("undo").disabled = !drawing.object.undo.length;
  $("add").disabled = drawing.objects.length >= (about?.max_objects ?? 1);
  $("objects").replaceChildren(...drawing.objects.map((object, index) => {
    const button = element("button", `Object ${index + 1}`, "object", () => drawing.choose(index));
    const dot = document.createElement("i");
    dot.style.background = object.colour;
    button.prepend(dot);
    button.setAttribute("aria-pressed", index === drawing.current);
    const remove = element("button", "×", "remove", () => drawing.remove(index));
    remove.setAttribute("aria-label", `Remove object ${index + 1}`);
    const both = document.createElement("span");
    both.append(button, ...(drawing.objects.length > 1 ? [remove] : []));
    return both;
  }));
});

function element(tag, text, name, clicked) {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = name;
  made.type = "button";
  made.addEventListener("click", clicked);
  return made;
}

function open(chosen) {
  return trying(async () => {
    if (!chosen) return;
    if (chosen.size > about.max_bytes) {
      throw new Error(`This file has ${chosen.size} bytes; this server takes ${about.max_bytes}.`);
    }
    let bitmap;
    try {
      bitmap = await createImageBitmap(chosen);
    } catch {
      throw new Error("This browser cannot show this file as a picture.");
    }
    if (bitmap.width * bitmap.height > about.max_pixels) {
      throw new Error(`This picture has ${bitmap.width} × ${bitmap.height} pixels; this server takes ${about.max_pixels}.`);
    }
    forget();
    [file, photo] = [chosen, bitmap];
    drawing.open(bitmap);
    setTool("paint");
    show("draw");
  });
}

function setTool(tool) {
  drawing.tool = tool;
  drawing.held = null;
  document.querySelector(`[name=tool][value=${tool}]`).checked = true;
  $("hint").textContent = HINTS[tool];
  drawing.draw();
}

function setBrush(value) {
  drawing.brush = Math.min(60, Math.max(2, value));
  $("brush").value = drawing.brush;
  drawing.draw();
}

// ---- the job

async function run() {
  await trying(async () => {
    const fields = { format: ["psd", "ora"], seed: $("seed").value || "0" };
    if ($("steps").value) fields.steps = $("steps").value;
    if ($("prompt").value) fields.prompt = $("prompt").value;
    $("state").textContent = "Sending the picture …";
    $("progress").removeAttribute("value");
    show("running");
    const body = form(fields, await drawing.masks());
    const headers = { Accept: "application/json" };
    sending = new AbortController();
    let said = await (await ask("/v1/decompose", { method: "POST", body, headers, signal: sending.signal })).json();
    job = said.id;
    while (job && (said.state === "waiting" || said.state === "running")) {
      follow(said);
      await new Promise((done) => setTimeout(done, POLL_MS));
      if (job) said = await (await ask(`/v1/jobs/${job}`)).json();
    }
    if (!job) return show("draw");
    if (said.state !== "done") throw new Refused(said.status, said.error);
    follow(said);
    await openResult(said.files);
    return show("result");
  });
  if (document.body.dataset.step === "running") {
    forget();
    show("draw");
  }
}

function follow({ state, position, progress }) {
  const places = position === 1 ? "1 job is" : `${position} jobs are`;
  $("state").textContent = state === "waiting"
    ? (position ? `Waiting: ${places} before yours` : "Waiting: yours is next")
    : `Step ${Math.min(progress.step + 1, progress.steps)} of ${progress.steps}`;
  if (state === "waiting") $("progress").removeAttribute("value");
  else $("progress").value = progress.step / progress.steps;
}

function forget() {
  sending?.abort();
  if (job) ask(`/v1/jobs/${job}`, { method: "DELETE", keepalive: true }).catch(() => {});
  job = null;
}

// ---- the result

const result = new Result($("view"), () => {
  $("compare").value = Math.round(result.split * 1000);
  listLayers();
});

const fileOf = async (name) => (await ask(`/v1/jobs/${job}/${name}`)).blob();

async function openResult(files) {
  const report = JSON.parse(await (await fileOf("layers.json")).text());
  const layers = [];
  for (const { name, file: of } of report.layers) {
    layers.push({ name, file: of, bitmap: await createImageBitmap(await fileOf(of)) });
  }
  result.view = "layers";
  result.split = 0.5;
  result.open(photo, layers);
  setView("layers");
  $("downloads").replaceChildren(...files.sort(byUse).map((name) => element("button", name, "download", () => download(name))));
}

const place = (name) => ["zip", "psd", "ora", "png", "json"].indexOf(name.split(".").pop());
const byUse = (a, b) => place(a) - place(b) || (a < b ? -1 : 1);

function download(name) {
  return trying(async () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await fileOf(name));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), KEEP_MS);
  });
}

function listLayers() {
  $("layers").replaceChildren(...result.layers.map((layer, index) => {
    const row = document.createElement("div");
    row.className = "layer";
    row.dataset.chosen = index === result.chosen;
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = layer.isShown;
    box.setAttribute("aria-label", `Show ${layer.name}`);
    box.addEventListener("change", () => { layer.isShown = box.checked; result.draw(); });
    const name = element("button", layer.name, "", () => { result.chosen = index; result.draw(); listLayers(); });
    name.setAttribute("aria-pressed", index === result.chosen);
    row.append(box, name);
    return row;
  }));
}

function setView(view) {
  result.view = view;
  document.querySelector(`[name=view][value=${view}]`).checked = true;
  $("compare-row").hidden = view !== "compare";
  $("view-hint").textContent = VIEW_HINTS[view];
  result.draw();
  listLayers();
}

// ---- what people do

$("file").addEventListener("change", () => open($("file").files[0]));
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.toggle("over", kind === "dragover");
    if (kind === "drop" && !["running", "token-form"].includes(document.body.dataset.step)) open(event.dataTransfer.files[0]);
  });
}
document.addEventListener("paste", (event) => {
  if (["start", "draw"].includes(document.body.dataset.step)) open(event.clipboardData.files[0]);
});
for (const radio of document.querySelectorAll("[name=tool]")) radio.addEventListener("change", () => setTool(radio.value));
for (const radio of document.querySelectorAll("[name=view]")) radio.addEventListener("change", () => setView(radio.value));
$("brush").addEventListener("input", () => setBrush(Number($("brush").value)));
$("undo").addEventListener("click", () => drawing.undo());
$("clear").addEventListener("click", () => drawing.clear());
$("add").addEventListener("click", () => drawing.add());
$("run").addEventListener("click", run);
$("cancel").addEventListener("click", forget);
$("compare").addEventListener("input", () => { result.split = $("compare").value / 1000; result.draw(); });
$("back-in-place").addEventListener("click", () => result.putBack());
$("again").addEventListener("click", () => { forget(); show("draw"); });
for (const id of ["other", "new"]) {
  $(id).addEventListener("click", () => { forget(); tell(null); $("file").value = ""; show("start"); });
}
$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", $("token").value);
  begin();
});
document.addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("input:not([type=range], [type=radio], [type=checkbox])");
  if (isTyping || document.body.dataset.step !== "draw" || event.altKey) return;
  const tools = { p: "paint", e: "erase", b: "box", c: "click", v: "unclick" };
  if (event.key === "z") drawing.undo();
  else if (event.ctrlKey || event.metaKey) return;
  else if (tools[event.key]) setTool(tools[event.key]);
  else if (event.key === "[") setBrush(drawing.brush - 2);
  else if (event.key === "]") setBrush(drawing.brush + 2);
});
window.addEventListener("pagehide", forget);
// Who looks at a result has not left.
setInterval(() => { if (job && document.body.dataset.step === "result") ask(`/v1/jobs/${job}`).catch(() => {}); }, KEEP_MS);

function begin() {
  return trying(async () => {
    about = await (await ask("/v1/about")).json();
    $("note").textContent = about.note ? `This is the packaged model: small (${about.size_px} px), for trying.` : "";
    show("start");
  });
}

begin();
