// The live page follows a run: its epochs, its state in words, and newer weights.

const STATUS_MILLISECONDS = 2000;
const MOST_SILENCES = 3; // a server that is gone never comes back at this address
let silences = 0;
const KEPT_CHOICES = ["map-colour", "map-show", "traversal-base", "player-speed"];

function noAnswer() {
  return report.live.tied
    ? `The run has ended, and this page with it. vaekit explore ${report.live.name} opens it again.`
    : "No answer: vaekit explore was stopped.";
}

function startFollowing() {
  showWords(report.live.words, "");
  const again = async () => {
    if (!document.hidden) await followRun();
    if (silences < MOST_SILENCES) setTimeout(again, STATUS_MILLISECONDS);
  };
  setTimeout(again, STATUS_MILLISECONDS);
}

function showWords(words, problem) {
  byId("run").hidden = false;
  byId("run-name").textContent = report.live.name;
  if (byId("run-words").textContent !== words) byId("run-words").textContent = words;
  if (byId("run-problem").textContent !== problem) byId("run-problem").textContent = problem;
}

async function followRun() {
  try {
    const known = { run: report.live.run, records: report.history.length };
    const status = await ask("/status", JSON.stringify(known));
    silences = 0;
    if (status.version !== report.live.version) await showNewer();
    showWords(status.words, status.problem);
    takeRecords(status);
  } catch (error) {
    if (!(error instanceof TypeError)) return showWords("", error.message);
    silences += 1;
    showWords(noAnswer(), "");
  }
}

// Add the records that the page lacks; those of a run that was started again replace all.
function takeRecords({ run, start, records }) {
  const changed = records.length > 0 || start !== report.history.length;
  report.live.run = run;
  if (!changed) return;
  report.history = [...report.history.slice(0, start), ...records];
  window.dispatchEvent(new Event("newhistory"));
}

// Draw everything again, of newer weights. The visitor keeps the place, the choices and the focus.
async function showNewer() {
  const newer = await ask("/contents", "null");
  await untilReleased();
  const before = visitorsPlace();
  report = newer;
  for (const [id, section] of sections) if (id !== "curves") byId(id).replaceWith(section.cloneNode(true));
  await startParts();
  startLiveParts();
  window.dispatchEvent(new Event("newhistory"));
  startNavigation();
  before.restore();
}

let pressed = false;
window.addEventListener("pointerdown", () => { pressed = true; }, true);
for (const kind of ["pointerup", "pointercancel"]) window.addEventListener(kind, () => { pressed = false; }, true);

// A slider or the map is not taken out of a hand that moves it.
async function untilReleased() {
  while (pressed) await new Promise((resume) => { setTimeout(resume, 100); });
}

function controlsOf(section) {
  return [...section.querySelectorAll("button, input, select, textarea, canvas[tabindex], pre[tabindex]")];
}

function visitorsPlace() {
  const choices = KEPT_CHOICES.map((id) => [id, byId(id).value]);
  const running = [["traversal-sweep", byId("traversal-sweep").getAttribute("aria-pressed") === "true"], ["player-play", byId("player-play").textContent === "Pause"]];
  const frame = byId("player-slider").value;
  const focused = document.activeElement;
  const section = focused?.closest("section");
  const at = section ? controlsOf(section).indexOf(focused) : -1;
  const [left, top] = [window.scrollX, window.scrollY];
  const restore = () => {
    for (const [id, value] of choices) {
      if (![...byId(id).options].some((option) => option.value === value)) continue;
      byId(id).value = value;
      byId(id).dispatchEvent(new Event("change"));
    }
    if (Number(frame) <= Number(byId("player-slider").max)) {
      byId("player-slider").value = frame;
      byId("player-slider").dispatchEvent(new Event("input"));
    }
    for (const [id, runs] of running) if (runs) byId(id).click();
    if (at >= 0 && !focused.isConnected) controlsOf(byId(section.id) ?? document.body)[at]?.focus({ preventScroll: true });
    window.scrollTo({ left, top, behavior: "instant" });
  };
  return { restore };
}
