"use strict";

// The interactive part of the report page. Every mean and interval comes from Python (analysis/report/explorer.py);
// here trials are chosen, sorted and drawn. Names are text, never markup: elements are made by `element`, and what
// Plotly writes goes through `plain`.
(() => {
  const data = JSON.parse(document.getElementById("explorer-data").textContent);
  const root = document.getElementById("explorer");
  const [form, plot, status, caption, detail, table] = [
    ".controls", ".plot", ".status", "figcaption", ".detail", ".trials",
  ].map((name) => root.querySelector(name));
  const { trials, settings, studies, fields, scores } = data;
  trials.forEach((trial, place) => { trial.place = place; });
  settings.forEach((setting, place) => { setting.place = place; });
  const family = Object.fromEntries(data.families.map((one) => [one.name, one]));
  const filters = fields.filter((field) => field.values.length > 1);
  const MANY = 8; // values of a number field from which on it is filtered by its ends
  const LATENTS = ["#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#fbafe4", "#949494", "#b8a800", "#56b4e9"];
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

  // --- small things ---------------------------------------------------------------------------------------------

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

  const plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const written = (value, digits) => (value === null || value === undefined ? "-" : value.toFixed(digits));
  const digits = (name) => (name === "recon" || name === "kl" ? 1 : 3);
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const count = (number) => number.toLocaleString("en");

  function texts(field) {
    field.texts ??= new Map(field.values);
    return field.texts;
  }

  function title(trial) {
    const where = studies.length > 1 ? `${studies[trial.study].name}: ` : "";
    const setting = settings[trial.setting];
    const name = setting.label === setting.family ? "" : `, ${setting.label}`;
    return `${where}${family[setting.family].title}${name}, seed ${trial.seed}`;
  }

  function described(trial) {
    const named = ["recon", "kl", ...(state.score ? [state.score] : [])];
    return `${title(trial)}: ${named.map((name) => `${name} ${written(trial.values[name], digits(name))}`).join(", ")}`;
  }

  const SHAPES = {
    circle: "M8 1a7 7 0 1 0 .01 0z", square: "M2 2h12v12H2z", diamond: "M8 0l8 8-8 8-8-8z",
    "triangle-up": "M8 1l8 14H0z", star: "M8 0l2 6h6l-5 4 2 6-5-4-5 4 2-6-5-4h6z", hexagon: "M8 0l7 4v8l-7 4-7-4V4z",
    cross: "M2 3l1-1 5 5 5-5 1 1-5 5 5 5-1 1-5-5-5 5-1-1 5-5z", line: "M0 7h16v2H0z",
  };

  function marker(shape, fill, size = 1) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    for (const [name, value] of [["class", "marker"], ["viewBox", "0 0 16 16"], ["aria-hidden", "true"]]) svg.setAttribute(name, value);
    path.setAttribute("d", SHAPES[shape]);
    path.setAttribute("fill", fill);
    path.setAttribute("transform", `translate(8 8) scale(${size}) translate(-8 -8)`);
    svg.append(path);
    return svg;
  }

  // --- which trials are shown -----------------------------------------------------------------------------------

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
    return points
      .filter((one) => !points.some((other) => beats(at(other), at(one))))
      .sort((a, b) => at(a)[0] - at(b)[0]);
  }

  // --- controls -------------------------------------------------------------------------------------------------

  function group(legend, ...children) {
    return element("fieldset", {}, element("legend", {}, legend), ...children);
  }

  function viewControls() {
    const views = [["score", "score and reconstruction"], ["rate", "rate and distortion"]];
    const radio = ([value, text]) => element("label", {},
      element("input", { type: "radio", name: "view", value, checked: value === state.view,
        onchange: () => { state.view = value; choose.disabled = value !== "score"; draw(); } }), text);
    const choose = element("select", { name: "score", "aria-label": "Score",
      onchange: () => { state.score = choose.value; draw(); if (state.selected !== null) announce(trials[state.selected]); } },
      ...scores.map((score) => element("option", { value: score.name }, score.name)));
    return [group("View", ...views.map(radio)), element("label", {}, "Score ", choose)];
  }

  function boxes(field) {
    const hidden = new Set();
    state.hidden.set(field.name, hidden);
    const box = ([value, text]) => element("label", {},
      element("input", { type: "checkbox", name: field.name, value: text, checked: true,
        onchange: (event) => { hidden[event.target.checked ? "delete" : "add"](value); refresh(); } }),
      ...(field.name === "family" ? [marker(family[value].marker, family[value].colour)] : []), text);
    return group(field.title, ...field.values.map(box));
  }

  function range(field) {
    const ends = [field.values[0][0], field.values.at(-1)[0]];
    const end = (place, text) => element("label", {}, text,
      element("input", { type: "number", step: "any", name: `${field.name}-${text}`, placeholder: written(ends[place], 1),
        oninput: () => {
          const [least, most] = inputs.map((label) => label.querySelector("input").value);
          state.bounds.delete(field.name);
          if (least || most) state.bounds.set(field.name, [least ? +least : -Infinity, most ? +most : Infinity]);
          refresh();
        } }));
    const inputs = [end(0, "from"), end(1, "to")];
    return group(field.title, ...inputs);
  }

  const counted = element("output", { "aria-live": "polite" });

  function buildControls() {
    const reset = element("button", { type: "reset" }, "Reset");
    form.addEventListener("reset", () => {
      state.hidden.forEach((values) => values.clear());
      state.bounds.clear();
      state.view = scores.length ? "score" : "rate";
      state.score = scores.length ? scores[0].name : null;
      setTimeout(() => { form.querySelector("select")?.removeAttribute("disabled"); refresh(); }); // once the boxes are reset
    });
    form.addEventListener("submit", (event) => event.preventDefault());
    form.append(
      ...(scores.length ? viewControls() : []), element("div", { class: "break" }),
      ...filters.map((field) => (field.numeric && field.values.length > MANY ? range(field) : boxes(field))),
      element("div", { class: "break" }), counted, reset);
  }

  // --- the plot -------------------------------------------------------------------------------------------------

  const axis = (letter, study) => `${letter}${study ? study + 1 : ""}`;

  function traces(visible) {
    const [x, y] = axes();
    const made = [];
    for (const [study, { front }] of studies.entries()) {
      for (const one of data.families) {
        const mine = visible.filter((trial) => trial.study === study && settings[trial.setting].family === one.name);
        if (!mine.length) continue;
        const means = [...new Set(mine.map((trial) => settings[trial.setting]))]
          .filter((setting) => setting.means[x][0] !== null && setting.means[y][0] !== null);
        const base = { xaxis: axis("x", study), yaxis: axis("y", study), showlegend: false, hoverinfo: "skip", cliponaxis: false };
        if (front && state.view === "score") made.push(frontTrace(base, one, nondominated(means, y), y));
        const drawn = mine.filter(complete);
        made.push(linksTrace(base, one, drawn, x, y), meansTrace(base, one, means, mine, x, y), trialsTrace(base, one, drawn, x, y));
      }
    }
    return made;
  }

  function frontTrace(base, one, best, y) {
    return { ...base, name: `front ${one.name}`, mode: "lines", x: best.map((setting) => setting.means.recon[0]),
      y: best.map((setting) => setting.means[y][0]), line: { color: one.colour, width: 1.5, shape: "hv" } };
  }

  function linksTrace(base, one, drawn, x, y) {
    const joined = drawn.filter((trial) => settings[trial.setting].means[x][0] !== null);
    const ends = (name) => joined.flatMap((trial) => [settings[trial.setting].means[name][0], trial.values[name], null]);
    return { ...base, name: `links ${one.name}`, mode: "lines", x: ends(x), y: ends(y), opacity: 0.3, line: { color: one.colour, width: 1 } };
  }

  function meansTrace(base, one, means, mine, x, y) {
    const first = (setting) => mine.find((trial) => trial.setting === setting.place).place;
    const bars = (name) => {
      const side = (place, sign) => means.map(({ means: { [name]: ends } }) => (ends[place] === null ? 0 : sign * (ends[place] - ends[0])));
      return { type: "data", symmetric: false, array: side(2, 1), arrayminus: side(1, -1), color: one.colour, thickness: 1, width: 0 };
    };
    const text = (setting) => [setting.label, "mean over seeds", ...[x, y].map((name) => {
      const [mean, low, high] = setting.means[name].map((value) => written(value, digits(name)));
      return `${name} ${mean}${low === "-" ? "" : ` [${low}, ${high}]`}`;
    })].map(plain).join("<br>");
    return { ...base, name: `means ${one.name}`, mode: "markers", hoverinfo: "text", hovertext: means.map(text),
      customdata: means.map(first), x: means.map((setting) => setting.means[x][0]), y: means.map((setting) => setting.means[y][0]),
      error_x: bars(x), error_y: bars(y),
      marker: { symbol: one.marker, size: 13, color: one.colour, opacity: 1, line: { color: colour("--page"), width: 1.5 } } };
  }

  function trialsTrace(base, one, drawn, x, y) {
    const informative = (trial) => trial.fields.verdict !== "not informative";
    const text = (trial) => [title(trial), ...[...new Set([x, y, "kl"])].map((name) => `${name} ${written(trial.values[name], digits(name))}`),
      trial.fields.verdict].map(plain).join("<br>");
    return { ...base, name: `trials ${one.name}`, mode: "markers", hoverinfo: "text", hovertext: drawn.map(text),
      customdata: drawn.map((trial) => trial.place), x: drawn.map((trial) => trial.values[x]), y: drawn.map((trial) => trial.values[y]),
      marker: { symbol: drawn.map((trial) => (informative(trial) ? one.marker : "x-thin")), size: 7, color: one.colour,
        opacity: 0.75, line: { color: drawn.map((trial) => (informative(trial) ? colour("--page") : one.colour)),
          width: drawn.map((trial) => (informative(trial) ? 0.7 : 2)) } } };
  }

  // The same whatever is filtered out, so that points stay where they are.
  function ends(name, study) {
    const own = (one) => data.comparable || one.study === study;
    const values = [...trials.filter(own).map((trial) => trial.values[name]),
      ...settings.filter(own).flatMap((setting) => setting.means[name])].filter((value) => value !== null);
    if (name === "kl") values.push(...studies.filter((one, place) => one.entropy !== null && (data.comparable || place === study)).map((one) => one.entropy));
    if (!values.length) return [0, 1];
    const [least, most] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
    const margin = 0.07 * (most - least) || 0.5;
    return [least - margin, most + margin];
  }

  function layout() {
    const [x, y] = axes();
    const beside = !narrow.matches;
    const number = studies.length;
    const titles = { recon: data.recon, kl: "rate: KL, held-out (nats per image)",
      ...Object.fromEntries(scores.map((score) => [score.name, score.title])) };
    const look = { gridcolor: colour("--line"), zeroline: false, linecolor: colour("--edge"), showline: true, ticks: "outside",
      tickcolor: colour("--edge"), ticklen: 4, automargin: true, autorange: false };
    const small = (text) => ({ text: plain(text), font: { size: 12.5 }, standoff: 8 });
    const part = (place) => {
      const gap = beside ? (data.comparable ? 0.04 : 0.1) : 0.22;
      const size = (1 - gap * (number - 1)) / number;
      return [place * (size + gap), place * (size + gap) + size];
    };
    const made = { autosize: true, height: beside ? 440 : 360 * number, margin: { l: 56, r: 12, t: number > 1 ? 34 : 12, b: 40 },
      paper_bgcolor: colour("--page"), plot_bgcolor: colour("--page"), hovermode: "closest", uirevision: `${x} ${y} ${beside}`,
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom", annotations: [], shapes: rings(),
      font: { family: getComputedStyle(root).fontFamily, size: 12, color: colour("--ink") },
      hoverlabel: { bgcolor: colour("--ink"), font: { color: colour("--page"), size: 12.5 }, bordercolor: colour("--ink"), align: "left" } };
    studies.forEach((study, place) => {
      const outer = beside ? [true, place === 0 || !data.comparable] : [place === number - 1 || !data.comparable, true];
      const [horizontal, vertical] = beside ? [part(place), [0, 1]] : [[0, 1], part(number - 1 - place)];
      const name = (letter) => `${letter}axis${place ? place + 1 : ""}`;
      const linked = (letter) => (data.comparable && place ? { matches: letter } : {});
      made[name("x")] = { ...look, domain: horizontal, anchor: axis("y", place), range: ends(x, place), title: outer[0] ? small(titles[x]) : undefined, ...linked("x") };
      made[name("y")] = { ...look, domain: vertical, anchor: axis("x", place), range: ends(y, place), title: outer[1] ? small(titles[y]) : undefined, ...linked("y") };
      const on = { xref: `${axis("x", place)} domain`, yref: `${axis("y", place)} domain`, showarrow: false };
      if (number > 1) made.annotations.push({ ...on, text: plain(study.name), x: 0, y: 1, xanchor: "left", yanchor: "bottom", font: { size: 13.5 } });
      if (x === "kl" && study.entropy !== null) made.annotations.push({ ...on, xref: axis("x", place), x: study.entropy, y: 1, xanchor: "right", yanchor: "top", text: "H(images)", font: { color: colour("--muted") } });
    });
    return made;
  }

  // Rings around the trial under the keyboard's cursor (thin) and the selected one, and the line of H(images).
  function rings() {
    const [x, y] = axes();
    const ring = (place, radius, width) => {
      const trial = place === null ? null : trials[place];
      if (trial === null || !passes(trial) || !complete(trial)) return [];
      return [{ type: "circle", name: "ring", xref: axis("x", trial.study), yref: axis("y", trial.study), xsizemode: "pixel", ysizemode: "pixel",
        xanchor: trial.values[x], yanchor: trial.values[y], x0: -radius, x1: radius, y0: -radius, y1: radius,
        line: { color: colour("--ink"), width } }];
    };
    const entropy = x !== "kl" ? [] : studies.flatMap((study, place) => (study.entropy === null ? [] : [{ type: "line", xref: axis("x", place),
      yref: `${axis("y", place)} domain`, x0: study.entropy, x1: study.entropy, y0: 0, y1: 1, line: { color: colour("--muted"), width: 1, dash: "dot" } }]));
    return [...entropy, ...ring(state.selected, 10, 2), ...(state.cursor === state.selected ? [] : ring(state.cursor, 8, 1))];
  }

  const PLOTLY = { displayModeBar: false, responsive: true, doubleClick: "reset" };
  const moveRings = () => Plotly.relayout(plot, { shapes: rings() });

  function drawPlot() {
    const visible = shown();
    const lacking = visible.filter((trial) => !complete(trial)).length;
    Plotly.react(plot, traces(visible), layout(), PLOTLY);
    caption.replaceChildren(legend(), [
      "Bars: 95 % intervals of the means, from three seeds on.",
      state.view === "score" && studies.some((study) => study.front) ? "Lines: the front of each family." : "",
      filtered() ? "Filtered: means stay over all finished seeds of the settings still shown, and the front is that of these settings alone." : "",
      lacking ? `${count(lacking)} without a value on both axes are in the table alone.` : "",
    ].filter(Boolean).join(" "));
  }

  function legend() {
    const grey = colour("--muted");
    const entry = (sign, text) => element("span", {}, sign, text);
    return element("div", { class: "keys" },
      ...(data.families.length > 1 ? [] : data.families).map((one) => entry(marker(one.marker, one.colour), one.title)), // else the filter tells
      entry(marker("circle", grey, 0.9), "a setting's mean over seeds"), entry(marker("circle", grey, 0.5), "a trial"),
      ...(trials.some((trial) => trial.fields.verdict === "not informative") ? [entry(marker("cross", grey, 0.8), "not informative")] : []));
  }

  function walk(event) {
    const order = shown().filter(complete).sort((a, b) => a.values.recon - b.values.recon || a.place - b.place);
    const at = order.findIndex((trial) => trial.place === (state.cursor ?? state.selected));
    const steps = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: order.length - 1 };
    if (event.key in steps && order.length) {
      state.cursor = order[Math.max(0, Math.min(order.length - 1, steps[event.key]))].place;
      announce(trials[state.cursor], "Enter shows its pictures.");
      moveRings();
    } else if (event.key === "Enter" && state.cursor !== null) select(state.cursor);
    else if (event.key === "Escape") select(null);
    else return;
    event.preventDefault();
  }

  function announce(trial, hint = "") {
    status.textContent = trial ? `${described(trial)}. ${hint}` : "";
  }

  function buildPlot() {
    plot.tabIndex = 0;
    plot.setAttribute("role", "application");
    plot.setAttribute("aria-label", "Trials as points. Arrow keys walk through them by reconstruction, Enter selects, Escape clears. The table below holds the same.");
    plot.addEventListener("keydown", walk);
    drawPlot();
    plot.on("plotly_click", ({ points: [point] }) => { if (point.customdata !== undefined) select(point.customdata, true); });
  }

  // --- the table ------------------------------------------------------------------------------------------------

  const varied = filters.filter(({ name }) => !["family", "seed", "verdict"].includes(name));
  const columns = [
    ...(studies.length > 1 ? [{ name: "study", of: (trial) => studies[trial.study].name }] : []),
    { name: "family", of: (trial) => family[trial.fields.family].title },
    ...varied.map((field) => ({ name: field.name, title: field.title, number: field.numeric, of: (trial) => trial.fields[field.name], text: (value) => texts(field).get(value) ?? "" })),
    { name: "seed", number: true, of: (trial) => trial.seed },
    ...["recon", "kl", ...scores.map((score) => score.name)].map((name) => ({ name, number: true, of: (trial) => trial.values[name], text: (value) => written(value, digits(name)) })),
    { name: "verdict", of: (trial) => trial.fields.verdict },
    { name: "key", of: (trial) => trial.key, text: (value) => value.slice(0, 8) },
  ];
  const rows = [];
  const body = element("tbody");
  const heads = new Map();

  function compare(one, other) {
    const { of } = columns.find((column) => column.name === state.sort.name);
    const [a, b] = [of(one), of(other)];
    if (a === null || b === null) return (a === null) - (b === null) || one.place - other.place; // missing last, either way
    const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
    return (state.sort.down ? -order : order) || one.place - other.place;
  }

  function drawTable() {
    for (const [name, head] of heads) {
      head.setAttribute("aria-sort", name === state.sort.name ? (state.sort.down ? "descending" : "ascending") : "none");
    }
    const visible = shown().sort(compare);
    body.replaceChildren(...visible.map((trial) => rows[trial.place]));
    mark();
  }

  // One row is in the tab order: the selected one, or that under the cursor, or the first.
  function mark() {
    rows.forEach((row, place) => {
      row.tabIndex = -1;
      row.setAttribute("aria-selected", place === state.selected);
    });
    const reached = [rows[state.cursor], rows[state.selected], body.firstElementChild].find((row) => row?.isConnected);
    if (reached) reached.tabIndex = 0;
  }

  function rowKey(event) {
    const row = event.target.closest("tr");
    const next = { ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling, Home: body.firstElementChild, End: body.lastElementChild };
    if (event.key in next) next[event.key]?.focus();
    else if (event.key === "Enter" || event.key === " ") select(+row.dataset.place);
    else if (event.key === "Escape") select(null);
    else return;
    event.preventDefault();
  }

  function buildTable() {
    const head = (column) => {
      const press = () => { state.sort = { name: column.name, down: state.sort.name === column.name && !state.sort.down }; drawTable(); };
      const made = element("th", { scope: "col", class: column.number ? "number" : null }, element("button", { type: "button", onclick: press }, column.title ?? column.name));
      heads.set(column.name, made);
      return made;
    };
    const cell = (column, trial) => {
      const sign = column.name === "family" ? [marker(family[trial.fields.family].marker, family[trial.fields.family].colour)] : [];
      const value = column.of(trial);
      return element("td", { class: column.number ? "number" : null }, ...sign, column.text ? column.text(value) : String(value ?? "-"));
    };
    for (const trial of trials) {
      rows.push(element("tr", { "data-place": trial.place, onclick: () => select(trial.place, true),
        onfocus: () => { state.cursor = trial.place; mark(); moveRings(); } }, ...columns.map((column) => cell(column, trial))));
    }
    body.addEventListener("keydown", rowKey);
    table.append(element("div", { class: "scroll" }, element("table", { role: "grid", "aria-label": "Trials. Arrow keys walk, Enter selects, Escape clears." },
      element("thead", {}, element("tr", {}, ...columns.map(head))), body)));
    drawTable();
  }

  function reveal(row) {
    const scroll = table.querySelector(".scroll");
    const top = row.offsetTop - scroll.querySelector("thead").offsetHeight;
    if (top < scroll.scrollTop) scroll.scrollTop = top;
    else if (row.offsetTop + row.offsetHeight > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = row.offsetTop + row.offsetHeight - scroll.clientHeight;
  }

  // --- one trial ------------------------------------------------------------------------------------------------

  function select(place, clicked = false) {
    state.selected = place;
    state.cursor = place;
    const trial = place === null ? null : trials[place];
    announce(trial);
    moveRings();
    mark();
    if (trial && rows[place].isConnected) reveal(rows[place]);
    showDetail(trial);
    if (trial && clicked && oneColumn.matches) detail.scrollIntoView({ block: "start" });
  }

  function showDetail(trial) {
    const before = detail.querySelector(".curves");
    if (before) Plotly.purge(before);
    if (!trial) {
      detail.replaceChildren(element("p", { class: "empty" }, "Click a point or a row, or walk with the arrow keys and press Enter: here come the trial's traversals, reconstructions, KL along training, audit and scores."));
      return;
    }
    const one = family[settings[trial.setting].family];
    const key = ["recon", "kl", ...(state.score ? [state.score] : [])].map((name) => `${name} ${written(trial.values[name], digits(name))}`);
    detail.replaceChildren(
      element("h3", {}, marker(one.marker, one.colour), title(trial)),
      element("p", { class: "muted" }, `${key.join(" · ")} · ${trial.fields.verdict}`),
      ...(trial.pictures ? sheets(trial) : [element("p", {}, trial.missing)]),
      ...(trial.curves ? [element("h4", {}, "KL along training"), element("div", { class: "curves" })] : [element("p", {}, "No reports are stored of this trial.")]),
      element("h4", {}, "Audit"), entries(trial.audit),
      ...(trial.scores.length ? [element("h4", {}, "Scores"), scoreTable(trial.scores)] : []),
      element("details", {}, element("summary", {}, "Configuration"), entries(trial.config)),
      element("h4", {}, "In Python"),
      element("pre", { tabindex: 0, "aria-label": "Code that loads the trained model" }, element("code", {}, `from study.store import open_study\nmodel = ${trial.load}`)),
      element("p", { class: "muted" }, `Key ${trial.key}`));
    detail.scrollTop = 0;
    if (trial.curves) drawCurves(detail.querySelector(".curves"), trial);
  }

  function latentColours(trial) {
    const active = (trial.pictures?.rows ?? []).filter((row) => row.active).map((row) => row.latent);
    return Object.fromEntries(active.map((latent, place) => [latent, LATENTS[place % LATENTS.length]]));
  }

  function sheets(trial) {
    const { rows: latents, traversals, reconstructions } = trial.pictures;
    const colours = latentColours(trial);
    const picture = element("img", { class: "traversals", alt: `Traversals of ${latents.length} latents from -3 to 3, rows by KL` });
    const choices = traversals.map((source, place) => element("button", { type: "button", "aria-label": `Image ${place + 1}`,
      onclick: () => { state.image = place; show(); } }, String(place + 1)));
    function show() {
      const place = Math.min(state.image, traversals.length - 1);
      picture.src = traversals[place];
      choices.forEach((button, other) => button.setAttribute("aria-pressed", other === place));
    }
    show();
    const label = (row) => {
      const name = element("i", {}, `z${row.latent}`);
      if (colours[row.latent]) name.style.setProperty("--latent", colours[row.latent]);
      const said = row.factor === null ? "" : `${row.factor} ${row.share.toFixed(2)}`;
      return element("div", { class: row.active ? null : "faint", title: `z${row.latent}: KL ${row.kl.toFixed(2)}, I ${row.info.toFixed(2)} nats` },
        name, element("span", {}, row.kl.toFixed(1)), element("span", {}, said));
    };
    const labels = element("div", { class: "labels" }, ...latents.map(label));
    labels.style.gridTemplateRows = `repeat(${latents.length}, 1fr)`;
    return [
      element("h4", {}, "Traversals", ...(choices.length > 1 ? [element("span", { class: "choice", role: "group", "aria-label": "Held-out image" }, ...choices)] : [])),
      element("div", { class: "sheet" },
        element("div", { class: "head" }, element("span", {}, "latent"), element("span", {}, "KL"), element("span", {}, "factor, share")), element("span", {}),
        labels, picture, element("div", { class: "scale" }, ...["z = −3", "0", "3"].map((text) => element("span", {}, text)))),
      element("h4", {}, "Held-out images above their reconstructions"),
      element("img", { class: "reconstructions", src: reconstructions, alt: "Held-out images above their reconstructions" }),
    ];
  }

  function entries(pairs) {
    return element("table", {}, element("tbody", {}, ...pairs.map(([name, text]) => element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, text)))));
  }

  function scoreTable(all) {
    const head = ["score", "raw", "calibrated", "null", "ceiling", "sd of one"].map((text) => element("th", { scope: "col" }, text));
    return element("table", {}, element("thead", {}, element("tr", {}, ...head)),
      element("tbody", {}, ...all.map(([name, ...values]) => element("tr", {}, element("th", { scope: "row" }, name), ...values.map((text) => element("td", {}, text))))));
  }

  function drawCurves(place, trial) {
    const { steps, kl, capacity, latents, opened } = trial.curves;
    const colours = latentColours(trial);
    const line = (name, y, look) => ({ name, x: steps, y, mode: "lines", line: { width: 1.6, ...look }, hovertemplate: `${name} %{y} nats at %{x}<extra></extra>` });
    const order = Object.keys(latents).sort((a, b) => (a in colours) - (b in colours)); // faint ones lie below
    const made = [
      ...order.map((j) => line(`z${j}`, latents[j], { color: colours[j] ?? colour("--line") })),
      line("all latents", kl, { color: colour("--muted") }),
      ...(capacity ? [line("C", capacity, { color: colour("--ink"), dash: "dash", width: 1.2 })] : []),
      { x: opened.map(([, step]) => step), y: opened.map(() => 0), mode: "markers", hoverinfo: "text", cliponaxis: false, hovertext: opened.map(([j]) => `z${j} opens`),
        marker: { symbol: "triangle-up", size: 9, color: opened.map(([j]) => colours[j] ?? colour("--edge")) } },
    ];
    const look = { gridcolor: colour("--line"), zeroline: false, linecolor: colour("--edge"), showline: true, automargin: true };
    const end = (values) => values.at(-1) ?? 0;
    const label = (text, y, shift) => ({ text, x: 1, xref: "paper", xanchor: "left", y, showarrow: false, xshift: 4, yshift: shift, font: { size: 11 } });
    const meets = capacity && Math.abs(end(kl) - end(capacity)) < 0.1 * Math.max(end(kl), end(capacity)) ? 6 : 0;
    const upper = capacity && end(capacity) > end(kl) ? -1 : 1;
    Plotly.newPlot(place, made, {
      height: 230, margin: { l: 40, r: 30, t: 6, b: 40 }, showlegend: false, hovermode: "closest", dragmode: false,
      paper_bgcolor: colour("--page"), plot_bgcolor: colour("--page"),
      font: { family: getComputedStyle(root).fontFamily, size: 11.5, color: colour("--ink") },
      xaxis: { ...look, title: { text: "updates; triangles: where a latent opens", standoff: 6 } },
      yaxis: { ...look, rangemode: "tozero", title: { text: "KL, held-out (nats)", standoff: 6 } },
      annotations: [label("KL", end(kl), upper * meets), ...(capacity ? [label("C", end(capacity), -upper * meets)] : [])],
    }, { ...PLOTLY, doubleClick: false });
  }

  // --- all together ---------------------------------------------------------------------------------------------

  function draw() {
    counted.textContent = `${count(shown().length)} of ${count(trials.length)} trials shown`;
    drawPlot();
  }

  // After a filter: what is selected is always to be seen.
  function refresh() {
    const gone = (place) => place !== null && !passes(trials[place]);
    if (gone(state.cursor)) state.cursor = null;
    draw();
    drawTable();
    if (gone(state.selected)) select(null);
  }

  function redraw() {
    draw();
    showDetail(state.selected === null ? null : trials[state.selected]);
  }

  buildControls();
  buildPlot();
  buildTable();
  draw();
  const first = shown().filter(complete).sort((a, b) => a.values.recon - b.values.recon)[0];
  select(first ? first.place : null); // something to look at: the trial that reconstructs best
  status.textContent = "";
  narrow.addEventListener("change", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
})();
