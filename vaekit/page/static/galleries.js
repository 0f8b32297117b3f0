// Grids of pictures: samples, reconstructions, and the images with the lowest and highest loss.

function startGalleries() {
  const samples = Array.from({ length: sheets.samples.count }, (_, index) => picture("samples", index, `sample ${index + 1}`));
  byId("sample-grid").append(...samples);
  byId("pair-grid").append(...report.pairs.map((facts, index) => pair("pairs", report.pairs, index, `${number(facts.psnr)} dB`)));
  const half = report.extremes.length / 2;
  byId("extremes").hidden = half === 0;
  report.extremes.forEach((facts, index) => {
    const list = byId(index < half ? "lowest" : "highest");
    list.append(pair("extremes", report.extremes, index, `${number(facts.neg_elbo)} nats`));
  });
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
