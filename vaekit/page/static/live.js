// The live part of the page, of `vaekit explore`: sliders that decode as they move, an image of
// your own, a walk between two, and a click on the map.

const TOKEN = new URLSearchParams(location.search).get("token");
const SLIDER = { min: -4, max: 4, step: 0.05 };

let mixed = { z: [], text: "" }; // the latent of the sliders, kept when newer weights are shown
let placedFiles = []; // the images of yours that are shown, at most two
let takeImage = async () => {};

async function ask(path, body, type = "application/json") {
  const answer = await fetch(path, { method: "POST", headers: { "X-Vaekit-Token": TOKEN, "Content-Type": type }, body });
  const found = await answer.json();
  if (!answer.ok) throw new Error(found.error);
  return found;
}

// Calls `work` with the newest request only: those that come while it runs replace each other.
function latest(work) {
  let running = false;
  let waiting = null;
  return async (request) => {
    waiting = request;
    if (running) return;
    running = true;
    while (waiting !== null) {
      const next = waiting;
      waiting = null;
      await work(next);
    }
    running = false;
  };
}

function tell(node, work) {
  return async (...given) => {
    try {
      await work(...given);
      node.textContent = "";
    } catch (error) {
      node.textContent = error instanceof TypeError ? noAnswer() : error.message;
    }
  };
}

function liveImage(source, label) {
  const small = Math.max(...report.model.image.slice(0, 2)) < 64;
  return element("img", { class: small ? "tile sharp" : "tile", src: source, alt: label });
}

function normal() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}

function startLive() {
  document.querySelector(".brand").textContent = "vaekit explore";
  startLiveParts();
  for (const kind of ["dragover", "drop"]) {
    window.addEventListener(kind, (event) => {
      event.preventDefault();
      byId("live")?.querySelector(".drop").classList.toggle("over", kind === "dragover");
      if (kind === "drop" && event.dataTransfer.files[0]) takeImage(event.dataTransfer.files[0]);
    });
  }
  window.addEventListener("dragleave", () => byId("live")?.querySelector(".drop").classList.remove("over"));
  startFollowing();
}

// What belongs to the weights that are shown: drawn again when there are newer ones.
function startLiveParts() {
  byId("live")?.remove();
  document.title = report.sheets ? document.title.replace("vaekit report", "vaekit explore") : `${report.live.name} \u2013 vaekit explore`;
  if (!report.sheets) return;
  const section = element("section", { id: "live", "data-nav": "Live", class: "card" }, element("h2", {}, "Live: every dimension at once"));
  byId("summary").after(section);
  const mixer = startMixer(section);
  startDrop(section, mixer);
  startPick(mixer);
}

// One image, and a slider for each informative dimension.
function startMixer(section) {
  const width = report.live.origin.length;
  const before = mixed.z.length === width ? mixed : { z: new Array(width).fill(0), text: "The prior's mean" };
  const screen = element("div", { class: "screen" });
  const words = element("p", { class: "quiet", "aria-live": "polite" });
  const problem = element("p", { class: "problem", role: "alert" });
  const image = liveImage(report.live.start, "decoded");
  let z = before.z;
  const decode = latest(tell(problem, async (values) => {
    image.src = (await ask("/decode", JSON.stringify(values))).image;
  }));
  const sliders = report.traversals.dims.map(({ dim, kl }) => {
    const slider = element("input", { type: "range", ...SLIDER, value: 0, "aria-label": `z${dim}` });
    const value = element("span", { class: "quiet" });
    const show = () => { value.textContent = signed(z[dim]); };
    slider.addEventListener("input", () => {
      z[dim] = Number(slider.value);
      show();
      decode(z);
    });
    const set = () => {
      slider.value = z[dim];
      show();
    };
    return { set, node: element("label", {}, element("span", {}, element("strong", {}, `z${dim} `), `${nats(kl)} `, value), slider) };
  });
  const start = (values, text) => {
    z = [...values];
    mixed = { z, text };
    words.textContent = text;
    sliders.forEach(({ set }) => set());
    return decode(z);
  };
  const button = (text, values) => element("button", { type: "button", onclick: () => start(values(), text) }, text);
  const tools = element("div", { class: "tools" }, button("The prior's mean", () => new Array(width).fill(0)), button("A random draw", () => z.map(normal)));
  screen.append(image, words, problem);
  section.append(tools, element("div", { class: "mixer" }, screen, element("div", { class: "sliders" }, ...sliders.map(({ node }) => node))));
  start(z, before.text);
  return { start };
}

// Images of your own: where they land, how they come back, what is near; two make a walk.
function startDrop(section, mixer) {
  const input = element("input", { type: "file", accept: "image/*", class: "file", "aria-label": "Choose an image" });
  const zone = element("label", { class: "drop" }, element("span", {}, "Drop an image here, or choose a file. It stays on this machine."), input);
  const problem = element("p", { class: "problem", role: "alert" });
  const results = element("div", { class: "dropped" });
  const walk = element("div", { class: "walk" });

  const show = async (files) => {
    const placed = [];
    for (const file of files) placed.push({ ...await ask("/place", file, "application/octet-stream"), name: nameOf(file) });
    mapMarks.splice(0, mapMarks.length, ...placed.map(({ x, y, name }) => ({ x, y, name })));
    redraws.forEach((redraw) => redraw());
    results.replaceChildren(...placed.map(droppedImage));
    walk.replaceChildren(...(placed.length === 2 ? await walkBetween(placed) : []));
    return placed;
  };
  takeImage = tell(problem, async (file) => {
    const kept = [...placedFiles, file].slice(-2);
    const placed = await show(kept);
    placedFiles = kept;
    mixer.start(placed.at(-1).z, `From ${nameOf(file)}`);
  });
  input.addEventListener("change", () => input.files[0] && takeImage(input.files[0]));
  mapMarks.length = 0;
  tell(problem, show)(placedFiles); // those of earlier weights
  section.append(element("h3", {}, "An image of yours"), zone, problem, results, walk);
}

function nameOf(file) {
  return file.name || "your image";
}

function droppedImage({ name, image, reconstruction, numbers, neighbours, distances, trained_on }) {
  const rows = Object.entries(numbers).map(([key, value]) => element("div", {}, element("code", {}, key), ` ${number(value)}`));
  const near = neighbours.map((index, rank) => {
    const words = `${report.map.names[index]}, distance ${number(distances[rank])}`;
    return picture("points", index, words);
  });
  return element("div", { class: "result" },
    element("strong", {}, name),
    element("div", { class: "row two" }, liveImage(image, `${name} as the model sees it`), liveImage(reconstruction, "its reconstruction")),
    element("p", { class: "quiet" }, "As the model sees it, and its reconstruction."),
    ...(trained_on ? [element("p", {}, "The model was trained on this image: a new one may score worse.")] : []),
    element("div", { class: "numbers quiet" }, ...rows),
    element("p", { class: "quiet" }, "Nearest on the map, by distance of all latents:"),
    element("div", { class: "row small" }, ...near));
}

async function walkBetween([a, b]) {
  const facts = await ask("/walk", JSON.stringify([a.z, b.z]));
  await decodeSheet("walk", facts);
  const canvas = tile("walk", 0, "the frame");
  const slider = element("input", { type: "range", min: 0, max: facts.count - 1, value: 0, "aria-label": "From the first image to the second" });
  slider.addEventListener("input", () => canvas.show(Number(slider.value)));
  return [element("h3", {}, `From ${a.name} to ${b.name}`), element("div", { class: "screen" }, canvas, slider)];
}

// A click on the map decodes that place.
function startPick(mixer) {
  const { origin, axes } = report.live;
  const image = liveImage(report.live.start, "decoded");
  const words = element("p", { class: "quiet" }, "Click the map to decode that place.");
  const problem = element("p", { class: "problem", role: "alert" });
  byId("map-legend").after(element("div", { class: "picked" }, image, words, problem));
  const decode = latest(tell(problem, async ([x, y]) => {
    const z = origin.map((value, dim) => value + x * axes[0][dim] + y * axes[1][dim]);
    image.src = (await ask("/decode", JSON.stringify(z))).image;
    words.textContent = `Decoded at (${signed(x)}, ${signed(y)}). The live sliders above are set to it.`;
    mixer.start(z, "A place of the map");
  }));
  byId("map-canvas").addEventListener("pick", (event) => decode(event.detail));
}
