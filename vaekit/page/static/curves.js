// The losses of the run by epoch.

const QUANTITIES = [
  ["\u2212ELBO", "neg_elbo", "nats per image"],
  ["reconstruction", "reconstruction", "nats per image"],
  ["KL", "kl", "nats per image"],
  ["active dimensions", "active_units", "dimensions"],
  ["learning rate", "lr", ""],
  ["beta", "beta", ""],
];

const MARGIN = { left: 58, right: 14, top: 34, bottom: 34 };

function curveLines(quantity) {
  const named = [["training", `train_${quantity}`, []], ["validation", `val_${quantity}`, [6, 4]], ["", quantity, []]];
  return named
    .map(([name, key, dash], order) => ({ name, dash, colour: order === 1 ? "--second" : "--accent", values: report.history.map((epoch) => epoch[key]) }))
    .filter(({ values }) => values.some(Number.isFinite));
}

function startCurves() {
  const section = byId("curves");
  let epochs = [];
  const canvas = byId("curve");
  const tip = section.querySelector(".tip");
  let [label, quantity, unit] = QUANTITIES[0];
  let at = null;
  let scale = null;

  function domain(lines) {
    const all = lines.flatMap(({ values }) => values.filter(Number.isFinite));
    const [low, high] = [Math.min(...all), Math.max(...all)];
    const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
    return [low - room, high + room];
  }

  const redraw = fitted(canvas, (context, width, height) => {
    if (epochs.length === 0) return;
    const lines = curveLines(quantity);
    const [low, high] = domain(lines);
    const [first, last] = [epochs[0], epochs[epochs.length - 1]];
    const span = last - first || 1;
    scale = {
      x: (epoch) => MARGIN.left + ((epoch - first) / span) * (width - MARGIN.left - MARGIN.right),
      y: (value) => height - MARGIN.bottom - ((value - low) / (high - low)) * (height - MARGIN.top - MARGIN.bottom),
      index: (x) => clamp(Math.round(((x - MARGIN.left) / (width - MARGIN.left - MARGIN.right)) * (epochs.length - 1)), 0, epochs.length - 1),
    };
    context.clearRect(0, 0, width, height);
    drawAxes(context, width, height, low, high, first, last);
    drawKept(context, height);
    lines.forEach((line) => drawLine(context, line));
    drawNames(context, lines, width);
    if (at !== null) drawPointer(context, lines, height);
  });

  function drawAxes(context, width, height, low, high, first, last) {
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    const values = ticks(low, high, height / 55);
    const digits = values.length > 1 ? clamp(-Math.floor(Math.log10(values[1] - values[0]) + 1e-9), 0, 6) : 2;
    for (const value of values) {
      context.strokeStyle = style("--rule");
      context.beginPath();
      context.moveTo(MARGIN.left, scale.y(value));
      context.lineTo(width - MARGIN.right, scale.y(value));
      context.stroke();
      context.fillStyle = style("--quiet");
      context.textAlign = "right";
      context.fillText(quantity === "lr" ? value.toExponential(1) : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }), MARGIN.left - 8, scale.y(value));
    }
    context.textAlign = "center";
    for (const epoch of ticks(first, last, width / 90).filter(Number.isInteger)) context.fillText(epoch, scale.x(epoch), height - MARGIN.bottom + 14);
    context.textAlign = "right";
    context.fillText("epoch", width - MARGIN.right, height - 6);
  }

  function drawKept(context, height) {
    const kept = report.best_epoch;
    if (!epochs.includes(kept)) return;
    context.save();
    context.strokeStyle = style("--quiet");
    context.setLineDash([2, 3]);
    context.beginPath();
    context.moveTo(scale.x(kept), MARGIN.top);
    context.lineTo(scale.x(kept), height - MARGIN.bottom);
    context.stroke();
    context.restore();
  }

  function drawLine(context, { values, dash, colour }) {
    context.save();
    context.strokeStyle = style(colour);
    context.lineWidth = 2;
    context.lineJoin = "round";
    context.setLineDash(dash);
    context.beginPath();
    let joined = false;
    values.forEach((value, index) => {
      if (Number.isFinite(value)) context[joined ? "lineTo" : "moveTo"](scale.x(epochs[index]), scale.y(value));
      joined = Number.isFinite(value);
    });
    context.stroke();
    context.restore();
    if (values.length === 1) dot(context, scale.x(epochs[0]), scale.y(values[0]), style(colour));
  }

  function dot(context, x, y, colour) {
    context.fillStyle = colour;
    context.beginPath();
    context.arc(x, y, 4, 0, 2 * Math.PI);
    context.fill();
  }

  // Above the plot, where no curve can cross them.
  function drawNames(context, lines, width) {
    context.textAlign = "right";
    let right = width - MARGIN.right;
    for (const { name, colour, dash } of lines.filter((line) => line.name).reverse()) {
      context.save();
      context.strokeStyle = style(colour);
      context.lineWidth = 2;
      context.setLineDash(dash);
      context.beginPath();
      context.moveTo(right - 28, 12);
      context.lineTo(right, 12);
      context.stroke();
      context.restore();
      context.fillStyle = style("--ink");
      context.fillText(name, right - 36, 12);
      right -= 56 + context.measureText(name).width;
    }
  }

  function drawPointer(context, lines, height) {
    const x = scale.x(epochs[at]);
    context.strokeStyle = style("--quiet");
    context.beginPath();
    context.moveTo(x, MARGIN.top);
    context.lineTo(x, height - MARGIN.bottom);
    context.stroke();
    for (const { values, colour } of lines) if (Number.isFinite(values[at])) dot(context, x, scale.y(values[at]), style(colour));
  }

  function words() {
    const kept = epochs.includes(report.best_epoch) ? `The dotted line marks epoch ${report.best_epoch}, whose weights were kept.` : "";
    return [unit && `In ${unit}.`, kept].filter(Boolean).join(" ");
  }

  function point(index) {
    at = index;
    redraw();
    tip.hidden = at === null;
    if (at === null) {
      byId("curve-values").textContent = words();
      return;
    }
    const lines = curveLines(quantity).filter(({ values }) => Number.isFinite(values[at]));
    const rows = lines.map(({ name, values }) => `${name || label} ${quantity === "lr" ? values[at].toPrecision(3) : number(values[at])}`);
    tip.replaceChildren(element("strong", {}, `Epoch ${epochs[at]}`), ...rows.map((row) => element("div", {}, row)));
    byId("curve-values").textContent = `Epoch ${epochs[at]}: ${rows.join(", ")}${unit ? ` ${unit}` : ""}`;
    if (scale) placeTip(tip, canvas, scale.x(epochs[at]), 60);
  }

  canvas.addEventListener("pointerleave", () => point(null));
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    point(clamp((at ?? (step > 0 ? -1 : epochs.length)) + step, 0, epochs.length - 1));
  });

  function showChoice() {
    const shown = QUANTITIES.filter(([, key]) => curveLines(key).length > 0);
    if (shown.length === byId("curve-choice").children.length) return;
    byId("curve-choice").replaceChildren(...shown.map((each) => {
      const button = element("button", { type: "button", "aria-pressed": each[1] === quantity }, each[0]);
      button.addEventListener("click", () => {
        [label, quantity, unit] = each;
        for (const other of byId("curve-choice").children) other.setAttribute("aria-pressed", other === button);
        point(null);
      });
      return button;
    }));
  }

  // Once at the start, and again whenever the run has more epochs, or has been started anew.
  function showHistory() {
    epochs = report.history.map(({ epoch }) => epoch);
    section.hidden = epochs.length === 0;
    if (section.hidden) return;
    showChoice();
    point(at === null || at >= epochs.length ? null : at);
  }

  canvas.addEventListener("pointermove", (event) => scale && point(scale.index(event.offsetX)));
  window.addEventListener("newhistory", showHistory);
  showHistory();
}
