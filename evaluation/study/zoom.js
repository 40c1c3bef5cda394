// One view on several pictures: what is done to one pane is done to all, at the same place.
"use strict";

const MAX_SCALE = 16;
const STEPS = [1, 2, 4, 8];

function makeZoom(root, changed) {
  const views = [...root.querySelectorAll(".view")];
  // In shares of a pane's side: the picture's point (x, y) lies at (x * scale + left, y * scale + top).
  const at = { scale: 1, left: 0, top: 0 };
  const fingers = new Map();
  let lastPoint = { x: 0.5, y: 0.5 };

  function draw() {
    at.scale = Math.min(MAX_SCALE, Math.max(1, at.scale));
    at.left = Math.min(0, Math.max(1 - at.scale, at.left));
    at.top = Math.min(0, Math.max(1 - at.scale, at.top));
    // In percent, so that panes of different size show the same place.
    const moved = `translate(${100 * at.left}%, ${100 * at.top}%) scale(${at.scale})`;
    for (const view of views) view.firstElementChild.style.transform = at.scale === 1 ? "" : moved;
    root.classList.toggle("zoomed", at.scale > 1);
    changed(at.scale);
  }

  function zoomAt(point, scale) {
    const wanted = Math.min(MAX_SCALE, Math.max(1, scale));
    at.left = point.x - ((point.x - at.left) * wanted) / at.scale;
    at.top = point.y - ((point.y - at.top) * wanted) / at.scale;
    at.scale = wanted;
    draw();
  }

  function share(view, event) {
    const box = view.getBoundingClientRect();
    return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
  }

  // Mean place of the fingers on a pane, and their distance.
  function grip() {
    const points = [...fingers.values()];
    const x = points.reduce((sum, p) => sum + p.x, 0) / points.length;
    const y = points.reduce((sum, p) => sum + p.y, 0) / points.length;
    const wide = points.length > 1 ? Math.hypot(points[0].x - points[1].x, points[0].y - points[1].y) : 0;
    return { x, y, wide };
  }

  for (const view of views) {
    view.addEventListener("wheel", (event) => {
      event.preventDefault();
      zoomAt(share(view, event), at.scale * Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)));
    }, { passive: false });
    view.addEventListener("pointerdown", (event) => {
      fingers.set(event.pointerId, share(view, event));
      view.setPointerCapture(event.pointerId);
    });
    view.addEventListener("pointermove", (event) => {
      lastPoint = share(view, event);
      if (!fingers.has(event.pointerId)) return;
      const before = grip();
      fingers.set(event.pointerId, lastPoint);
      const after = grip();
      at.left += after.x - before.x;
      at.top += after.y - before.y;
      if (before.wide > 0) zoomAt(after, (at.scale * after.wide) / before.wide);
      else if (at.scale > 1) draw();
      else { at.left = 0; at.top = 0; }
    });
    for (const kind of ["pointerup", "pointercancel"]) {
      view.addEventListener(kind, (event) => fingers.delete(event.pointerId));
    }
    view.addEventListener("dblclick", (event) => zoomAt(share(view, event), at.scale > 1 ? 1 : 3));
    // Two fingers must not scroll or zoom the page, also while it may be scrolled with one.
    view.addEventListener("touchmove", (event) => {
      if (event.touches.length > 1 || at.scale > 1) event.preventDefault();
    }, { passive: false });
  }

  return {
    // The next step at the place that was pointed at last; after the last one, whole again.
    step() {
      zoomAt(lastPoint, STEPS.find((scale) => scale > at.scale + 0.01) ?? 1);
    },
    pan(x, y) {
      at.left += x;
      at.top += y;
      draw();
    },
    reset() {
      Object.assign(at, { scale: 1, left: 0, top: 0 });
      lastPoint = { x: 0.5, y: 0.5 };
      draw();
    },
    get scale() { return at.scale; },
  };
}
