// The interactive part of the report page: its data and state, and which trials are shown. Every mean and interval
// comes from Python (analysis/report/explorer.py); the scripts choose, sort and draw. Names are text, never markup:
// elements are made by `element`, and what Plotly writes goes through `plain`. All scripts are one module (page.py).

const data = JSON.parse(document.getElementById("explorer-data").textContent);
const root = document.getElementById("explorer");
const [form, plot, status, caption, detail, table] = [
  ".controls",
  ".plot",
  ".status",
  "figcaption",
  ".detail",
  ".trials",
].map((name) => root.querySelector(name));
const { trials, settings, studies, fields, scores } = data;
trials.forEach((trial, place) => {
  trial.place = place;
});
settings.forEach((setting, place) => {
  setting.place = place;
});
const family = Object.fromEntries(data.families.map((one) => [one.name, one]));
const marked = (trial) => marker(family[trial.fields.family].marker, family[trial.fields.family].colour);
const filters = fields.filter((field) => field.values.length > 1);
const narrow = matchMedia("(max-width: 44rem)");
const oneColumn = matchMedia("(max-width: 68rem)");

const state = {
  view: scores.length ? "score" : "rate",
  score: scores.length ? scores[0].name : null,
  hidden: new Map(), // field -> values that are filtered out
  bounds: new Map(), // field -> [least, most]
  sort: { name: "recon", down: false },
  image: 0,
  cursor: null,
  selected: null,
};

// --- words and signs

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

const tr = (cells) => element("tr", {}, ...cells);
const plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const written = (value, digits) => (value === null || value === undefined ? "-" : value.toFixed(digits));
const digits = (name) => (name === "recon" || name === "kl" ? 1 : 3);
const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
const count = (number) => number.toLocaleString("en");

function title(trial) {
  const where = studies.length > 1 ? `${studies[trial.study].name}: ` : "";
  const setting = settings[trial.setting];
  const name = setting.label === setting.family ? "" : `, ${setting.label}`;
  return `${where}${family[setting.family].title}${name}, seed ${trial.seed}`;
}

function values(trial) {
  const named = ["recon", "kl", ...(state.score ? [state.score] : [])];
  return named.map((name) => `${name} ${written(trial.values[name], digits(name))}`).join(", ");
}

const SHAPES = {
  circle: "M8 1a7 7 0 1 0 .01 0z",
  square: "M2 2h12v12H2z",
  diamond: "M8 0l8 8-8 8-8-8z",
  "triangle-up": "M8 1l8 14H0z",
  star: "M8 0l2 6h6l-5 4 2 6-5-4-5 4 2-6-5-4h6z",
  hexagon: "M8 0l7 4v8l-7 4-7-4V4z",
  cross: "M2 3l1-1 5 5 5-5 1 1-5 5 5 5-1 1-5-5-5 5-1-1 5-5z",
};

function marker(shape, fill, size = 1) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("class", "marker");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", SHAPES[shape]);
  path.setAttribute("fill", fill);
  path.setAttribute("transform", `translate(8 8) scale(${size}) translate(-8 -8)`);
  svg.append(path);
  return svg;
}

// --- which trials are shown

function passes(trial) {
  return filters.every((field) => {
    const value = trial.fields[field.name];
    if (value === null) return true; // its family does not read the field
    const [least, most] = state.bounds.get(field.name) ?? [-Infinity, Infinity];
    return !state.hidden.get(field.name)?.has(value) && !(value < least) && !(value > most);
  });
}

const shown = () => trials.filter(passes);
const filtered = () => [...state.hidden.values()].some((values) => values.size) || state.bounds.size > 0;
const axes = () => (state.view === "score" ? ["recon", state.score] : ["kl", "recon"]);

function complete(trial) {
  return axes().every((name) => trial.values[name] !== null);
}

// The settings that no other beats on reconstruction (less is better) and score (more is better); equal ones all stay.
function nondominated(some, score) {
  const at = (setting) => [setting.means.recon[0], setting.means[score][0]];
  const beats = ([r, s], [x, y]) => r <= x && s >= y && (r < x || s > y);
  const points = some.filter((setting) => at(setting).every((value) => value !== null));
  return points.filter((one) => !points.some((other) => beats(at(other), at(one)))).sort((a, b) => at(a)[0] - at(b)[0]);
}
