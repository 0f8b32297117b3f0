// Moving pictures: a slider for each latent dimension, and the walk from image to image.

const SWEEP_MILLISECONDS = 110;

function startTraversals() {
  const { dims, steps, reach, bases, own, left_out: leftOut } = report.traversals;
  const middle = (steps - 1) / 2;
  const choice = byId("traversal-base");
  choice.append(...bases.map((name, value) => element("option", { value }, name)));
  const omitted = leftOut > 0 ? ` ${counted(leftOut, "dimension that varies less is", "dimensions that vary less are")} left out.` : "";
  byId("traversal-words").textContent =
    `One slider a dimension, the most informative first: it moves from \u2212${reach} to ${reach} while the others stay where the start has them. What changes is what that dimension stands for; the number is its KL, the nats that it carries on average.${omitted}`;

  const cards = dims.map(({ dim, kl }, row) => {
    const frame = (step) => (Number(choice.value) * dims.length + row) * steps + step;
    const canvas = tile("traversals", frame(middle), `dimension ${dim}`);
    const slider = element("input", { type: "range", min: 0, max: steps - 1, value: middle, "aria-label": `z${dim}` });
    const value = element("span", {});
    const show = () => {
      const z = -reach + (2 * reach * Number(slider.value)) / (steps - 1);
      canvas.show(frame(Number(slider.value)));
      value.textContent = signed(z);
      slider.setAttribute("aria-valuetext", value.textContent);
    };
    const nearest = () => Math.round(((clamp(own[Number(choice.value)][row], -reach, reach) + reach) / (2 * reach)) * (steps - 1));
    slider.addEventListener("input", show);
    const heading = element("figcaption", {}, element("strong", {}, `z${dim} `), `${nats(kl)} \u00b7 `, value);
    return { node: element("figure", {}, canvas, slider, heading), slider, show, nearest };
  });
  byId("traversal-cards").append(...cards.map(({ node }) => node));

  const reset = () => cards.forEach(({ slider, show, nearest }) => {
    slider.value = nearest();
    show();
  });
  let timer = null;
  const sweep = byId("traversal-sweep");
  const stop = () => {
    clearInterval(timer);
    timer = null;
    sweep.setAttribute("aria-pressed", "false");
  };
  sweep.addEventListener("click", () => {
    if (timer) return stop();
    let tick = middle;
    sweep.setAttribute("aria-pressed", "true");
    timer = setInterval(() => {
      if (!sweep.isConnected) return stop();
      tick = (tick + 1) % (2 * (steps - 1));
      const step = tick < steps ? tick : 2 * (steps - 1) - tick;
      cards.forEach(({ slider, show }) => {
        slider.value = step;
        show();
      });
    }, SWEEP_MILLISECONDS);
  });
  choice.addEventListener("change", reset);
  byId("traversal-reset").addEventListener("click", () => {
    stop();
    reset();
  });
  reset();
}

function startPlayer() {
  const { names, leg } = report.interpolation;
  const frames = sheets.interpolation.count;
  const screen = tile("interpolation", 0, "the frame");
  byId("player-screen").append(screen);
  const slider = byId("player-slider");
  slider.max = frames - 1;
  const stops = names.map((name, index) => {
    const button = picture("stops", index, name);
    return element("figure", {}, button);
  });
  byId("player-stops").append(...stops);
  let timer = null;

  function show(frame) {
    slider.value = frame;
    screen.show(frame);
    const [here, step] = [Math.floor(frame / leg), frame % leg];
    const next = (here + 1) % names.length;
    const share = Math.round((100 * step) / leg);
    byId("player-words").textContent = step === 0 ? `The reconstruction of ${names[here]}` : `${share} % of the way from ${names[here]} to ${names[next]}`;
    stops.forEach((stop, index) => stop.classList.toggle("now", index === (share < 50 ? here : next)));
  }

  const play = byId("player-play");
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
  };
  const start = () => {
    clearInterval(timer);
    play.textContent = "Pause";
    timer = setInterval(() => {
      if (!slider.isConnected) return stop();
      show((Number(slider.value) + 1) % frames);
    }, 1000 / Number(byId("player-speed").value));
  };
  play.addEventListener("click", () => (timer ? stop() : start()));
  byId("player-speed").addEventListener("change", () => timer && start());
  slider.addEventListener("input", () => {
    stop();
    show(Number(slider.value));
  });
  show(0);
}
