// Around the map: its words, its colours, and the list of selected images.

const COLOURS = ["#4477cc", "#e07b1f", "#2f9e5b", "#c8433c", "#8a5bc9", "#8c6239", "#d761a8", "#7a7f87", "#a3a31f", "#1fa5b5"];
const RAMP = ["#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"];

function classColour(label) {
  if (label < COLOURS.length) return COLOURS[label];
  return `hsl(${(label * 137.508) % 360} 60% ${45 + (label % 3) * 10}%)`;
}

function className(label) {
  const { classes } = report.map;
  return classes && classes[label] !== undefined ? classes[label] : String(label);
}

// A colour between those of the ramp, for a share from 0 to 1.
function rampColour(share) {
  const place = clamp(share, 0, 1) * (RAMP.length - 1);
  const low = Math.min(Math.floor(place), RAMP.length - 2);
  const channels = [1, 3, 5].map((at) => {
    const [a, b] = [RAMP[low], RAMP[low + 1]].map((colour) => parseInt(colour.slice(at, at + 2), 16));
    return Math.round(a + (b - a) * (place - low));
  });
  return `rgb(${channels.join(",")})`;
}

// The share of each value between the 2nd and the 98th percentile, so that one image does not take the whole ramp.
function shares(values) {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  const [low, high] = [0.02, 0.98].map((share) => sorted[Math.round(share * (sorted.length - 1))]);
  return { values, low, high, of: (value) => (Number.isFinite(value) ? (value - low) / (high - low || 1) : 0) };
}

// Whether a place lies inside a polygon: how often a ray from it crosses the border.
function inside([x, y], polygon) {
  let odd = false;
  polygon.forEach(([ax, ay], index) => {
    const [bx, by] = polygon[(index + 1) % polygon.length];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) odd = !odd;
  });
  return odd;
}

function mapWords() {
  const { names, axes, total } = report.map;
  const many = (count) => count.toLocaleString("en");
  const which = names.length < total ? `${many(names.length)} of the ${many(total)} images, chosen at random` : `${many(total)} images`;
  const plane = axes[0] === "z0"
    ? "The model has two latent dimensions, and the map shows them as they are."
    : "The map shows the two directions in which the latents vary most (principal components); distances in the other directions are not seen.";
  return `Each point is one of ${which}, placed by its latent (posterior mean). ${plane} Point at one to see it.`;
}

function startMapColours(ramps, hidden, redraw) {
  const { labels } = report.map;
  const choice = byId("map-colour");
  const options = [...(labels ? [["label", "class"]] : []), ["loss", "\u2212ELBO"], ...(ramps.outlier ? [["outlier", "outlier score"]] : []), ["none", "none"]];
  choice.append(...options.map(([value, text]) => element("option", { value }, text)));
  choice.value = labels ? "label" : "none";
  const legend = () => {
    const draw = { label: () => classLegend(hidden, redraw), loss: () => rampLegend(ramps.loss, " nats"), outlier: () => rampLegend(ramps.outlier, ""), none: () => [] };
    byId("map-legend").replaceChildren(...draw[choice.value]());
  };
  choice.addEventListener("change", () => {
    legend();
    redraw();
  });
  legend();
}

// One button a class: it hides the class and shows it again.
function classLegend(hidden, redraw) {
  const counts = new Map();
  for (const label of report.map.labels) counts.set(label, (counts.get(label) || 0) + 1);
  return [...counts.keys()].sort((a, b) => a - b).map((label) => {
    const swatch = element("span", { class: "swatch" });
    swatch.style.background = classColour(label);
    const button = element("button", { type: "button", "aria-pressed": !hidden.has(label) }, swatch, `${className(label)} `, element("span", { class: "quiet" }, String(counts.get(label))));
    button.addEventListener("click", () => {
      if (!hidden.delete(label)) hidden.add(label);
      button.setAttribute("aria-pressed", !hidden.has(label));
      redraw();
    });
    return button;
  });
}

function rampLegend({ low, high }, unit) {
  const ramp = element("span", { class: "ramp" });
  ramp.style.background = `linear-gradient(to right, ${RAMP.join(", ")})`;
  return [number(low), ramp, `${number(high)}${unit} (2nd to 98th percentile)`];
}

const MOST_SELECTED_PICTURES = 60;

function showSelection(indices) {
  byId("selection").hidden = indices.length === 0;
  if (indices.length === 0) return;
  const { names, labels } = report.map;
  const more = indices.length > MOST_SELECTED_PICTURES ? `, the first ${MOST_SELECTED_PICTURES} shown` : "";
  byId("selection-title").textContent = `${counted(indices.length, "image", "images")} selected${more}`;
  const caption = (index) => [names[index], ...(labels ? [`class ${className(labels[index])}`] : [])].join(" \u00b7 ");
  byId("selection-pictures").replaceChildren(...indices.slice(0, MOST_SELECTED_PICTURES).map((index) => picture("points", index, caption(index))));
  byId("selection-names").value = indices.map((index) => names[index]).join("\n");
}

async function copyNames() {
  const area = byId("selection-names");
  try {
    await navigator.clipboard.writeText(area.value);
  } catch {
    area.select(); // a page from disk may have no clipboard of its own
    document.execCommand("copy");
  }
  say(byId("selection-copy"), "Copied");
}

function saveNames() {
  const url = URL.createObjectURL(new Blob([`${byId("selection-names").value}\n`], { type: "text/plain;charset=utf-8" }));
  element("a", { href: url, download: "selected.txt" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

function say(button, text) {
  const before = button.textContent;
  button.textContent = text;
  setTimeout(() => { button.textContent = before; }, 1200);
}

function startSelection() {
  byId("selection-copy").addEventListener("click", copyNames);
  byId("selection-save").addEventListener("click", saveNames);
}
