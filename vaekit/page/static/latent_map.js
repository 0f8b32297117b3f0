// The map: images as points of a plane, to move, zoom, colour and select.

const DOT = 4;
const THUMBNAIL = 36;
const NEAR = 18;
const STILL = 4;
const mapMarks = []; // places with names, of the live page

function startMap() {
  const { x, y, names, labels, losses, outlying, box, side, axes, total } = report.map;
  const canvas = byId("map-canvas");
  const tip = byId("map").querySelector(".tip");
  const hidden = new Set();
  const selected = new Set();
  const ramps = { loss: shares(losses), ...(outlying ? { outlier: shares(outlying) } : {}) };
  const home = { x: (box[0] + box[2]) / 2, y: (box[1] + box[3]) / 2, zoom: 1 };
  let view = { ...home };
  let size = [1, 1];
  let at = null;
  let lasso = null;
  let lassoOn = false;
  let pressed = [0, 0];
  const pointers = new Map();

  const pixels = () => (Math.min(...size) / (box[2] - box[0])) * view.zoom;
  const toScreen = (px, py) => [size[0] / 2 + (px - view.x) * pixels(), size[1] / 2 - (py - view.y) * pixels()];
  const toPlane = (sx, sy) => [view.x + (sx - size[0] / 2) / pixels(), view.y - (sy - size[1] / 2) / pixels()];
  const place = (index) => toScreen(x[index], y[index]);
  const isShown = (index) => !labels || !hidden.has(labels[index]);
  const all = names.map((_, index) => index);

  function colour(index) {
    const by = byId("map-colour").value;
    if (by === "label") return classColour(labels[index]);
    return ramps[by] ? rampColour(ramps[by].of(ramps[by].values[index])) : style("--accent");
  }

  const redraw = fitted(canvas, (context, width, height) => {
    size = [width, height];
    context.clearRect(0, 0, width, height);
    const show = byId("map-show").value;
    if (show === "plane") drawPlane(context);
    const visible = all.filter((index) => {
      const [px, py] = place(index);
      return isShown(index) && px > -40 && py > -40 && px < width + 40 && py < height + 40;
    });
    const colours = new Map(visible.map((index) => [index, colour(index)]));
    if (show === "pictures") drawPictures(context, visible, colours);
    else drawDots(context, visible, colours, show === "plane");
    drawMarks(context);
    drawAxisNames(context, width, height);
  });

  function drawPlane(context) {
    const step = (box[2] - box[0]) / side;
    const [left, top] = toScreen(box[0], box[3]);
    const cell = step * pixels();
    const factor = cell / Math.max(sheets.plane.width, sheets.plane.height);
    const [wide, tall] = [sheets.plane.width * factor, sheets.plane.height * factor];
    for (let index = 0; index < side * side; index += 1) {
      drawCell(context, "plane", index, left + (index % side) * cell, top + Math.floor(index / side) * cell, wide, tall);
    }
  }

  function drawDots(context, visible, colours, outlined) {
    const radius = clamp(DOT * Math.sqrt(view.zoom) * Math.sqrt(700 / (total + 300)), 2.4, 9);
    for (const index of visible) {
      const [px, py] = place(index);
      context.beginPath();
      context.arc(px, py, radius, 0, 2 * Math.PI);
      context.globalAlpha = outlined ? 1 : 0.85;
      context.fillStyle = colours.get(index);
      context.fill();
      if (outlined) {
        context.lineWidth = 1;
        context.strokeStyle = "#ffffff";
        context.stroke();
      }
    }
    context.globalAlpha = 1;
  }

  // Thumbnails where they do not overlap, dots elsewhere.
  function drawPictures(context, visible, colours) {
    const taken = new Set();
    const chosen = visible.filter((index) => {
      const [px, py] = place(index);
      const [column, row] = [Math.round(px / (THUMBNAIL + 4)), Math.round(py / (THUMBNAIL + 4))];
      const key = `${column},${row}`;
      return !taken.has(key) && taken.add(key);
    });
    drawDots(context, visible, colours, false);
    const { width, height } = sheets.points;
    const factor = THUMBNAIL / Math.max(width, height);
    for (const index of chosen) {
      const [px, py] = place(index);
      const [wide, tall] = [width * factor, height * factor];
      context.fillStyle = colours.get(index);
      context.fillRect(px - wide / 2 - 2, py - tall / 2 - 2, wide + 4, tall + 4);
      drawCell(context, "points", index, px - wide / 2, py - tall / 2, wide, tall);
    }
  }

  function drawMarks(context) {
    context.lineWidth = 2;
    for (const index of selected) ring(context, index, style("--ink"), 8);
    if (at !== null) ring(context, at, style("--second"), 10);
    mapMarks.forEach((mark) => drawPlace(context, mark));
    if (!lasso) return;
    context.beginPath();
    lasso.forEach(([px, py], step) => context[step ? "lineTo" : "moveTo"](px, py));
    context.closePath();
    context.strokeStyle = style("--accent");
    context.stroke();
    context.globalAlpha = 0.15;
    context.fillStyle = style("--accent");
    context.fill();
    context.globalAlpha = 1;
  }

  function drawPlace(context, mark) {
    const [px, py] = toScreen(mark.x, mark.y);
    context.fillStyle = style("--second");
    context.beginPath();
    [[0, -9], [9, 0], [0, 9], [-9, 0]].forEach(([dx, dy], corner) => context[corner ? "lineTo" : "moveTo"](px + dx, py + dy));
    context.closePath();
    context.fill();
    context.strokeStyle = style("--card");
    context.stroke();
    context.font = "13px system-ui, sans-serif";
    context.textBaseline = "middle";
    context.textAlign = "left";
    context.lineWidth = 4;
    context.strokeText(mark.name, px + 14, py);
    context.fillStyle = style("--ink");
    context.fillText(mark.name, px + 14, py);
    context.lineWidth = 2;
  }

  function ring(context, index, stroke, radius) {
    const [px, py] = place(index);
    context.beginPath();
    context.arc(px, py, radius, 0, 2 * Math.PI);
    context.strokeStyle = stroke;
    context.stroke();
  }

  function drawAxisNames(context, width, height) {
    const lines = [`\u2192 ${axes[0]}`, `\u2191 ${axes[1]}`];
    context.font = "12px system-ui, sans-serif";
    const wide = Math.max(...lines.map((line) => context.measureText(line).width));
    context.globalAlpha = 0.8;
    context.fillStyle = style("--card");
    context.fillRect(6, height - 42, wide + 12, 36);
    context.globalAlpha = 1;
    context.fillStyle = style("--quiet");
    context.textAlign = "left";
    context.textBaseline = "middle";
    lines.forEach((line, row) => context.fillText(line, 12, height - 32 + row * 17));
  }

  function nearest(sx, sy) {
    let [best, distance] = [null, NEAR];
    for (const index of all) {
      const [px, py] = place(index);
      const away = Math.hypot(px - sx, py - sy);
      if (isShown(index) && away < distance) [best, distance] = [index, away];
    }
    return best;
  }

  function point(index) {
    if (index === at) return;
    at = index;
    tip.hidden = at === null;
    if (at !== null) {
      const lines = [names[at], ...(labels ? [`class ${className(labels[at])}`] : []), `\u2212ELBO ${number(losses[at])} nats`, ...(outlying ? [`outlier score ${number(outlying[at])}`] : [])];
      tip.replaceChildren(tile("points", at, names[at]), ...lines.map((line) => element("div", {}, line)));
      placeTip(tip, canvas, ...place(at));
    }
    redraw();
  }

  // Where the plane shows and no image is near: what the decoder makes of that place.
  function pointPlane(sx, sy) {
    const [px, py] = toPlane(sx, sy);
    const [column, row] = [(px - box[0]) / (box[2] - box[0]), (box[3] - py) / (box[3] - box[1])].map((share) => Math.floor(share * side));
    const within = [column, row].every((cell) => cell >= 0 && cell < side);
    if (at !== null || byId("map-show").value !== "plane" || !within) return;
    tip.replaceChildren(tile("plane", row * side + column, "decoded"), element("div", {}, "decoded from here"));
    placeTip(tip, canvas, sx, sy);
  }

  function look(sx, sy) {
    point(nearest(sx, sy));
    tip.hidden = at === null;
    pointPlane(sx, sy);
  }

  function zoom(factor, sx = size[0] / 2, sy = size[1] / 2) {
    const [px, py] = toPlane(sx, sy);
    view.zoom = clamp(view.zoom * factor, 0.5, 200);
    const [nx, ny] = toPlane(sx, sy);
    move(px - nx, py - ny);
  }

  function move(dx, dy) {
    view.x += dx;
    view.y += dy;
    if (at !== null) placeTip(tip, canvas, ...place(at));
    redraw();
  }

  function reset() {
    view = { ...home };
    point(null);
    redraw();
  }

  function step(direction) {
    const order = all.filter(isShown);
    if (order.length === 0) return;
    const next = order[(order.indexOf(at) + direction + order.length) % order.length];
    const [px, py] = place(next);
    if (px < 0 || py < 0 || px > size[0] || py > size[1]) [view.x, view.y] = [x[next], y[next]];
    point(next);
  }

  function changeSelection() {
    showSelection([...selected].sort((a, b) => a - b));
    redraw();
  }

  function endLasso() {
    if (lasso.length > 2) all.filter((index) => isShown(index) && inside(place(index), lasso)).forEach((index) => selected.add(index));
    lasso = null;
    changeSelection();
  }

  function setLasso(on) {
    lassoOn = on;
    byId("map-lasso").setAttribute("aria-pressed", on);
    canvas.classList.toggle("lasso", on);
  }

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    pressed = [event.offsetX, event.offsetY];
    if (pointers.size === 1 && (lassoOn || event.shiftKey)) lasso = [[event.offsetX, event.offsetY]];
    else lasso = null;
  });
  canvas.addEventListener("pointermove", (event) => {
    const [sx, sy] = [event.offsetX, event.offsetY];
    const before = pointers.get(event.pointerId);
    if (!before) return look(sx, sy);
    if (lasso) {
      lasso.push([sx, sy]);
      return redraw();
    }
    const spread = () => {
      const [[ax, ay], [bx, by]] = [...pointers.values()];
      return Math.hypot(ax - bx, ay - by) || 1;
    };
    const was = pointers.size === 2 ? spread() : 0;
    pointers.set(event.pointerId, [sx, sy]);
    if (pointers.size === 2) zoom(spread() / was, sx, sy);
    else move((before[0] - sx) / pixels(), (sy - before[1]) / pixels());
  });
  const release = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    const still = Math.hypot(event.offsetX - pressed[0], event.offsetY - pressed[1]) < STILL;
    if (lasso) endLasso();
    else if (still) canvas.dispatchEvent(new CustomEvent("pick", { detail: toPlane(event.offsetX, event.offsetY) }));
    if (event.pointerType !== "mouse") look(event.offsetX, event.offsetY);
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => {
    if (pointers.size > 0) return;
    point(null);
    tip.hidden = true;
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-clamp(event.deltaY, -120, 120) * 0.003), event.offsetX, event.offsetY);
  }, { passive: false });

  const keys = {
    ArrowLeft: () => move(-40 / pixels(), 0), ArrowRight: () => move(40 / pixels(), 0),
    ArrowUp: () => move(0, 40 / pixels()), ArrowDown: () => move(0, -40 / pixels()),
    "+": () => zoom(1.3), "=": () => zoom(1.3), "-": () => zoom(1 / 1.3), 0: reset, n: () => step(1), p: () => step(-1),
    s: () => at !== null && (selected.delete(at) || selected.add(at)) && changeSelection(),
    Escape: () => { selected.clear(); changeSelection(); },
  };
  canvas.addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  });

  byId("map-in").addEventListener("click", () => zoom(1.5));
  byId("map-out").addEventListener("click", () => zoom(1 / 1.5));
  byId("map-reset").addEventListener("click", reset);
  byId("map-lasso").addEventListener("click", () => setLasso(!lassoOn));
  byId("selection-clear").addEventListener("click", keys.Escape);
  byId("map-show").addEventListener("change", redraw);
  startMapColours(ramps, hidden, redraw);
  startSelection();
  byId("map-words").textContent = mapWords();
}
