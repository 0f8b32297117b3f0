// The words and numbers: the summary, the use of the dimensions, every metric, how to repeat it.

const TILES = [
  ["neg_elbo", "\u2212ELBO"], ["bits_per_dim", "bits per dimension"], ["nll", "\u2212log p(x), estimated"],
  ["kl", "KL"], ["active_units", "active dimensions"], ["psnr", "PSNR"], ["ssim", "SSIM"], ["fid", "Fr\u00e9chet distance"],
];
const MOST_BARS = 48;

function startNumbers() {
  startSummary();
  startHealth();
  startMetricTable();
  startProvenance();
}

function startSummary() {
  const { model, record, parameters, metrics, sheets: packed } = report;
  const [height, width, channels] = model.image;
  const colour = { 1: "grey", 3: "colour" }[channels] || `${channels}-channel`;
  const title = `${model.name} on ${record.dataset}`;
  document.title = `${title} \u2013 vaekit report`;
  byId("title").textContent = title;
  const size = Number.isInteger(parameters) ? `, ${parameters.toLocaleString("en")} parameters` : "";
  const trained = record.trained_on ? `, of which the model was trained on ${record.trained_on.toLocaleString("en")}` : "";
  byId("subtitle").textContent =
    `A variational autoencoder of ${height}\u00d7${width} ${colour} images with ${model.latent_dim.toLocaleString("en")} latent dimensions${size}. All numbers and pictures are of ${record.n.toLocaleString("en")} images (${record.split}${trained}), likelihood ${record.likelihood}.`;
  byId("diagnosis").textContent = record.diagnosis;
  byId("diagnosis").hidden = record.diagnosis === "";
  byId("diagnosis").classList.toggle("healthy", record.verdict === "healthy");
  const meanings = new Map(metrics.map((metric) => [metric.name, metric]));
  for (const [name, words] of TILES.filter(([each]) => meanings.has(each))) {
    byId("tiles").append(element("div", {}, element("dt", {}, words), element("dd", {}, number(record[name])), element("small", {}, afterNumber(meanings.get(name)))));
  }
  const lossy = Object.entries(packed).filter(([, facts]) => !facts.lossless).map(([name]) => name);
  const notes = [...record.notes];
  if (lossy.length) notes.push(`To keep this file small, these pictures are compressed or shrunk: ${lossy.join(", ")}.`);
  byId("notes").append(...notes.map((note) => element("li", {}, note)));
}

// What follows the number where `vaekit evaluate` prints it: its error and unit.
function afterNumber({ shown }) {
  return shown.replace(/^\S+\s*/, "");
}

function startHealth() {
  const { dims, record } = report;
  const order = [...dims].sort((a, b) => b.kl - a.kl);
  const active = dims.filter((dim) => dim.active).length;
  const rest = order.length > MOST_BARS ? ` The ${MOST_BARS} largest of ${order.length.toLocaleString("en")} are shown.` : "";
  const verdict = record.verdict === "collapsed"
    ? "The posterior has collapsed: the decoder ignores the latents, and every image decodes to nearly the same picture."
    : `${active.toLocaleString("en")} of ${dims.length.toLocaleString("en")} dimensions vary from image to image; those in grey carry next to nothing.`;
  byId("health-words").textContent = `A dimension carries information where its posterior differs from the prior: that is its KL, in nats per image, below. ${verdict}${rest}`;
  const most = Math.max(order[0].kl, 1e-9);
  for (const { dim, kl, active: used } of order.slice(0, MOST_BARS)) {
    const fill = element("span", { class: "fill" });
    fill.style.width = `${clamp((100 * kl) / most, 0, 100)}%`;
    byId("health-bars").append(element("div", { class: used ? "" : "unused" }, element("span", {}, `z${dim}`), element("span", { class: "track" }, fill), element("span", {}, nats(kl))));
  }
}

function startMetricTable() {
  const { metrics, record, normalised } = report;
  byId("numbers-words").textContent =
    `As vaekit evaluate gives them: means over ${record.n.toLocaleString("en")} images, \u00b1 the standard error of the mean where there is one.${normalised ? "" : ` The likelihood ${record.likelihood} is not normalised: its losses compare only with those of the same likelihood.`}`;
  for (const { name, shown, meaning, better } of metrics) {
    byId("number-rows").append(element("tr", {}, element("td", {}, element("code", {}, name)), element("td", {}, shown), element("td", {}, meaning), element("td", {}, better || "")));
  }
  const absent = Object.entries(record.absent);
  if (absent.length === 0) return;
  const list = element("ul", { class: "notes" }, ...absent.map(([name, why]) => element("li", {}, element("code", {}, name), `: ${why}`)));
  byId("absent").append(element("h3", {}, "Left out, and why"), list);
}

function startProvenance() {
  const { command, config, record, version } = report;
  byId("command").textContent = command;
  byId("training-config").hidden = config === "";
  byId("config").textContent = config;
  const facts = [["model's SHA-256", record.model_sha256], ["data", `${record.dataset}, ${record.split}, ${record.n.toLocaleString("en")} images`], ["seed", record.seed], ["vaekit", version]];
  for (const [name, value] of facts) byId("provenance").append(element("dt", {}, name), element("dd", {}, String(value ?? "none")));
}
