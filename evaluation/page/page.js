// Sliders over the pictures that the page already holds: a case's strip is the source, a range input the handle,
// so keys, touch and screen readers work as they do everywhere.
(() => {
  "use strict";
  const make = (tag, props, ...children) => {
    const element = Object.assign(document.createElement(tag), props);
    element.append(...children);
    return element;
  };

  function slider(card) {
    const shots = [...card.querySelectorAll(".shot")].filter((shot) => shot.querySelector("img"));
    if (shots.length < 2) return;
    const pane = (side) => make("div", { className: "pane " + side }, make("img", { alt: "" }), make("span", { className: "tag" }));
    const panes = [pane("left"), pane("right")];
    const range = make("input", { type: "range", min: 0, max: 100, value: 50, step: 1 });
    range.setAttribute("aria-label", "Border between the two pictures of " + card.dataset.name);
    const view = make("div", { className: "view" }, ...panes, make("i", { className: "handle" }), range);
    view.style.aspectRatio = card.dataset.width + " / " + card.dataset.height;
    const outline = card.querySelector("svg.outline");
    if (outline) view.insertBefore(outline.cloneNode(true), range);
    const move = () => view.style.setProperty("--cut", range.value + "%");
    range.addEventListener("input", move);
    move();

    const captions = shots.map((shot) => shot.querySelector("figcaption").textContent);
    const selects = ["Left", "Right"].map((word, side) => {
      const options = captions.map((caption, place) => make("option", { value: place, textContent: caption }));
      const select = make("select", {}, ...options);
      select.setAttribute("aria-label", word + " picture of " + card.dataset.name);
      select.addEventListener("change", () => show(side, +select.value));
      return select;
    });
    function show(side, place) {
      const image = panes[side].querySelector("img");
      image.src = shots[place].querySelector("img").src;
      image.alt = captions[place];
      panes[side].querySelector(".tag").textContent = captions[place];
      selects[side].value = place;
      shots.forEach((shot, other) => shot.classList.toggle(side ? "on-right" : "on-left", other === place));
    }
    shots.forEach((shot, place) => {
      const button = make("button", { type: "button", className: "pick" });
      button.setAttribute("aria-label", "Show on the right: " + captions[place]);
      button.addEventListener("click", () => show(1, place));
      shot.querySelector(".frame").append(button);
    });
    const masks = make("input", { type: "checkbox", checked: true });
    masks.addEventListener("change", () => card.classList.toggle("bare", !masks.checked));
    const choice = make("div", { className: "choice" }, selects[0], selects[1], make("label", {}, masks, " mask"));
    card.querySelector(".body").prepend(make("div", { className: "compare" }, view, choice));
    show(0, 0);
    show(1, 1);
  }

  document.querySelectorAll(".case").forEach(slider);
  // On paper everything is open.
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => (part.open = true)));
})();
