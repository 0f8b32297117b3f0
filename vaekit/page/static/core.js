"use strict";
// The data of the page, its pictures, and the helpers that every part of it uses.
// All text of the data is set as text, never as markup.

let report = JSON.parse(document.getElementById("report-data").textContent);
const sheets = {};
const sections = new Map(); // as they are before anything is drawn in them
const redraws = new Set();

function byId(id) {
  return document.getElementById(id);
}

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") node.className = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

// Four digits, or two decimals from 10 on, as `vaekit evaluate` prints them.
function number(value) {
  if (value === null || value === undefined) return "none";
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return Math.abs(value) >= 10 ? value.toFixed(2) : String(Number(value.toPrecision(4)));
}

// A KL, for which hundredths are enough.
function nats(value) {
  return value < 0.005 ? "< 0.01 nats" : `${value.toFixed(2)} nats`;
}

// A latent, with a minus sign as long as a plus.
function signed(value) {
  return `${value < 0 ? "\u2212" : ""}${Math.abs(value).toFixed(2)}`;
}

function counted(count, one, many) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

function decodeSheet(name, facts) {
  const image = new Image();
  image.src = facts.src;
  return image.decode().then(() => {
    sheets[name] = { ...facts, image };
  });
}

// Draw one cell of a sheet into a rectangle of a canvas.
function drawCell(context, name, index, x, y, width, height) {
  const sheet = sheets[name];
  const left = (index % sheet.columns) * sheet.width;
  const top = Math.floor(index / sheet.columns) * sheet.height;
  context.imageSmoothingEnabled = width < sheet.width || sheet.width > 64;
  context.drawImage(sheet.image, left, top, sheet.width, sheet.height, x, y, width, height);
}

// A canvas with one cell of a sheet; `show(index)` changes the cell.
function tile(name, index, label) {
  const sheet = sheets[name];
  const small = Math.max(sheet.width, sheet.height) < 64;
  const canvas = element("canvas", { class: small ? "tile sharp" : "tile", role: "img", "aria-label": label });
  canvas.width = sheet.width;
  canvas.height = sheet.height;
  canvas.show = (cell) => drawCell(canvas.getContext("2d"), name, cell, 0, 0, sheet.width, sheet.height);
  canvas.show(index);
  return canvas;
}

// A picture that opens larger, beside those that belong to it.
function picture(name, index, label, indices = [index]) {
  const open = () => {
    byId("large-picture").replaceChildren(...indices.map((cell) => tile(name, cell, label)));
    byId("large-words").textContent = label;
    byId("large").showModal();
  };
  return element("button", { type: "button", class: "picture", onclick: open, title: label }, tile(name, index, label));
}

function style(variable) {
  return getComputedStyle(document.documentElement).getPropertyValue(variable).trim();
}

// Keep a canvas as sharp as the screen, and draw it again when its size or the theme changes.
function fitted(canvas, draw) {
  const redraw = () => {
    if (!canvas.isConnected) return redraws.delete(redraw);
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = canvas;
    if (!width || !height) return;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    draw(context, width, height);
  };
  new ResizeObserver(redraw).observe(canvas);
  redraws.add(redraw);
  return redraw;
}

// Where a tooltip stays inside its plot.
function placeTip(tip, canvas, x, y) {
  tip.hidden = false;
  const right = x + 16 + tip.offsetWidth > canvas.clientWidth;
  tip.style.left = `${clamp(right ? x - 16 - tip.offsetWidth : x + 16, 0, Math.max(0, canvas.clientWidth - tip.offsetWidth))}px`;
  tip.style.top = `${clamp(y - tip.offsetHeight / 2, 0, Math.max(0, canvas.clientHeight - tip.offsetHeight))}px`;
}

// Round numbers between two values, about `count` of them.
function ticks(low, high, count) {
  const raw = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= raw);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-9; at += step) found.push(Number(at.toPrecision(12)));
  return found;
}

const THEMES = ["auto", "light", "dark"];

function setTheme(theme) {
  if (theme === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.dataset.theme = theme;
  byId("theme").textContent = `Theme: ${theme}`;
  redraws.forEach((redraw) => redraw());
}

function remembered() {
  try {
    return localStorage.getItem("vaekit-theme");
  } catch {
    return null; // a page from disk may have no storage
  }
}

function startTheme() {
  let theme = THEMES.includes(remembered()) ? remembered() : "auto";
  setTheme(theme);
  byId("theme").addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    try {
      localStorage.setItem("vaekit-theme", theme);
    } catch {
      // the choice then lasts as long as the page
    }
    setTheme(theme);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setTheme(theme));
}

let navigation = null;

// The links of the sections that are shown now.
function startNavigation() {
  navigation?.disconnect();
  byId("nav").replaceChildren();
  const links = new Map();
  for (const section of document.querySelectorAll("section[data-nav]")) {
    if (!section.getClientRects().length) continue;
    const link = element("a", { href: `#${section.id}` }, section.dataset.nav);
    links.set(section, link);
    byId("nav").append(link);
  }
  navigation = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) links.get(target).classList.toggle("here", isIntersecting);
    },
    { rootMargin: "-20% 0px -70% 0px" },
  );
  links.forEach((_, section) => navigation.observe(section));
}

// Draw all of it but the curves. Without a model there is only the state of its run to show.
async function startParts() {
  document.documentElement.toggleAttribute("data-waiting", !report.sheets);
  if (!report.sheets) return;
  await Promise.all(Object.entries(report.sheets).map(([name, facts]) => decodeSheet(name, facts)));
  for (const start of [startNumbers, startMap, startTraversals, startPlayer, startGalleries]) start();
}

async function startPage() {
  for (const section of document.querySelectorAll("section")) sections.set(section.id, section.cloneNode(true));
  await startParts();
  startCurves();
  if (report.live) startLive();
  startTheme();
  startNavigation();
  document.documentElement.dataset.ready = "yes";
}

window.addEventListener("DOMContentLoaded", startPage);
