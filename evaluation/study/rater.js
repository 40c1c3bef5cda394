// The rater's page: puts one question after another and keeps each answer before it goes on.
"use strict";

(() => {
  const content = JSON.parse(document.getElementById("content").textContent);
  const { screens, pictures, target } = content;
  const online = "answers" in target;
  const byId = (id) => document.getElementById(id);
  const images = [...document.querySelectorAll(".view img")];
  const choices = [...document.querySelectorAll("button[data-choice]")];
  const zoom = makeZoom(byId("panes"), (scale) => { byId("scale").textContent = `${+scale.toFixed(1)}×`; });
  const answered = new Map(Object.entries(content.answered));
  let place = 0;
  let busy = true;
  let shownMs = 0;
  let shownSince = null;

  // ---- where answers are kept

  async function keepOnline(answer) {
    const response = await fetch(target.answers, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(answer),
    });
    if (!response.ok) throw new Error(`the server said ${response.status}`);
  }

  const storageName = `study/${target.study}/${target.rater}`;
  let kept = {};

  function keepOffline(answer) {
    kept[answer.question] = { ...answer, answered_at: new Date().toISOString() };
    localStorage.setItem(storageName, JSON.stringify(kept));
  }

  function restore() {
    try {
      kept = JSON.parse(localStorage.getItem(storageName)) ?? {};
    } catch (error) {
      fault(`This browser cannot keep answers (${error.message}). Save them as a file before you close the page.`);
    }
    for (const [question, answer] of Object.entries(kept)) answered.set(question, answer.choice);
  }

  function save() {
    const file = { study: target.study, rater: target.rater, answers: Object.values(kept) };
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(file, null, 1)], { type: "application/json" }));
    link.download = `answers-${target.rater.slice(0, 8)}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    byId("kept").textContent = `${file.answers.length} of ${screens.length} answers saved as ${link.download}.`;
  }

  // ---- one question

  function fault(sentence) {
    byId("fault").textContent = sentence;
    byId("fault").hidden = !sentence;
  }

  function load(image, name) {
    image.src = pictures[name];
    return image.decode();
  }

  async function show(number) {
    place = number;
    busy = true;
    const ended = place >= screens.length;
    document.body.classList.toggle("ended", ended);
    byId("screen").hidden = ended;
    byId("end").hidden = !ended;
    byId("progress").max = screens.length;
    byId("progress").value = answered.size;
    byId("count").textContent = ended ? "done" : `${place + 1} of ${screens.length}`;
    document.body.dataset.place = String(place);
    if (ended) {
      const ending = online ? "You can close this page." : "Now save them as a file with the button below, and send it back.";
      byId("done").textContent = `All ${answered.size} answers are kept. ${ending}`;
      busy = false;
      return;
    }
    const screen = screens[place];
    byId("question").textContent = content.questions[screen.aspect];
    for (const image of images) image.removeAttribute("src");
    for (const button of choices) {
      button.disabled = true;
      button.classList.toggle("chosen", answered.get(screen.id) === button.dataset.choice);
    }
    byId("back").disabled = place === 0;
    images.forEach((image, i) => { image.closest("figure").hidden = i > screen.panes.length; });
    zoom.reset();
    try {
      await Promise.all([screen.reference, ...screen.panes].map((name, i) => load(images[i], name)));
    } catch {
      if (place === number) fault("A picture did not load. Check the connection and load the page again.");
      return;
    }
    if (place !== number) return;
    for (const button of choices) button.disabled = Number(button.dataset.choice) > screen.panes.length;
    shownMs = 0;
    shownSince = document.hidden ? null : performance.now();
    busy = false;
    for (const name of screens[place + 1]?.panes ?? []) new Image().src = pictures[name];
  }

  function timeShownS() {
    const now = shownSince === null ? 0 : performance.now() - shownSince;
    return Math.min(86_400, Math.round(shownMs + now) / 1000);
  }

  async function choose(choice) {
    if (busy || place >= screens.length) return;
    if (choice !== "tie" && choice !== "not_sure" && Number(choice) > screens[place].panes.length) return;
    busy = true;
    const answer = { question: screens[place].id, choice, time_s: timeShownS() };
    try {
      if (online) await keepOnline(answer);
      else keepOffline(answer);
    } catch (error) {
      // Without a browser's store the answers live in this page until they are saved as a file.
      const lost = online ? "Your answer was not kept; choose again." : "Save your answers as a file before you close the page.";
      fault(`${lost} (${error.message})`);
      if (online) {
        busy = false;
        return;
      }
    }
    if (online) fault("");
    answered.set(answer.question, choice);
    await show(place + 1);
  }

  function back() {
    if (place > 0) show(place - 1);
  }

  // ---- hands

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const arrows = { ArrowLeft: [0.15, 0], ArrowRight: [-0.15, 0], ArrowUp: [0, 0.15], ArrowDown: [0, -0.15] };
    const key = event.key.toLowerCase();
    if (key >= "1" && key <= "3" && key.length === 1) choose(key);
    else if (key === "t") choose("tie");
    else if (key === "n") choose("not_sure");
    else if (key === "z") zoom.step();
    else if (key === "0") zoom.reset();
    else if (key === "b") back();
    else if (event.key in arrows && zoom.scale > 1) zoom.pan(...arrows[event.key]);
    else return;
    event.preventDefault();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && shownSince !== null) {
      shownMs += performance.now() - shownSince;
      shownSince = null;
    } else if (!document.hidden && shownSince === null) {
      shownSince = performance.now();
    }
  });
  for (const button of choices) button.addEventListener("click", () => choose(button.dataset.choice));
  byId("zoom").addEventListener("click", () => zoom.step());
  byId("back").addEventListener("click", back);
  byId("again").addEventListener("click", back);
  if (!online) {
    restore();
    byId("save").addEventListener("click", save);
  }
  const open = screens.findIndex((screen) => !answered.has(screen.id));
  show(open < 0 ? screens.length : open);
})();
