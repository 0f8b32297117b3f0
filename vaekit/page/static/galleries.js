// Grids of pictures: samples, reconstructions, and the images with the lowest and highest loss.

function startGalleries() {
  const samples = Array.from({ length: sheets.samples.count }, (_, index) => picture("samples", index, `sample ${index + 1}`));
  byId("sample-grid").append(...samples);
  byId("pair-grid").append(...report.pairs.map((facts, index) => pair("pairs", report.pairs, index, `${number(facts.psnr)} dB`)));
  startOutliers();
  const half = report.extremes.length / 2;
  byId("extremes").hidden = half === 0;
  report.extremes.forEach((facts, index) => {
    const list = byId(index < half ? "lowest" : "highest");
    list.append(pair("extremes", report.extremes, index, `${number(facts.neg_elbo)} nats`));
  });
}

function startOutliers() {
  byId("outliers").hidden = report.outliers === null;
  if (report.outliers === null) return;
  const { images, known, part, flagged } = report.outliers;
  const total = report.record.n;
  const low = `${flagged.toLocaleString("en")} of the ${total.toLocaleString("en")} images here are at 1 % or less`;
  const fitted = part === "training" ? "; the model was fitted to the known images, so new ones have low rates more often." : `, where ${number(total / 100)} are expected of images like the known ones.`;
  const alarms = known < 99 ? `${known} known images are too few for a rate of 1 %.` : low + fitted;
  byId("outlier-words").textContent =
    `The outlier score compares several numbers of an image at once (its error, its KL, its complexity and its place among the latents) with those of ${known.toLocaleString("en")} known images, of ${part}. The false-alarm rate is at least the share of images like those that score as high. ${alarms}`;
  byId("outlier-grid").append(...images.map(({ outlier, rate }, index) => {
    const share = rate === null ? "rate unknown" : `rate ${Number((100 * rate).toPrecision(2))} %`;
    return pair("outliers", images, index, `${outlier === null ? "not a number" : outlier.toFixed(1)}, ${share}`);
  }));
}

// An image above its reconstruction; both open together.
function pair(sheet, all, index, caption) {
  const { name, label, neg_elbo: loss, reconstruction, kl, psnr } = all[index];
  const both = [index, all.length + index];
  const what = [name, label && `class ${label}`].filter(Boolean).join(" \u00b7 ");
  const words = `${what}: \u2212ELBO ${number(loss)} nats = reconstruction ${number(reconstruction)} + KL ${number(kl)}; PSNR ${number(psnr)} dB. The image, then its reconstruction.`;
  const pictures = both.map((cell) => picture(sheet, cell, words, both));
  return element("figure", {}, ...pictures, element("figcaption", {}, caption, element("br"), what));
}
