// Trials as points, their settings as large ones, and the fronts of families.

const CROWD = 300; // trials from which on each is fainter

function traces(visible) {
  const [x, y] = axes();
  const [made, fronts] = [[], []];
  for (const [study, { front }] of studies.entries()) {
    for (const one of data.families) {
      const mine = visible.filter((trial) => trial.study === study && settings[trial.setting].family === one.name);
      if (!mine.length) continue;
      const means = [...new Set(mine.map((trial) => settings[trial.setting]))].filter(
        (setting) => setting.means[x][0] !== null && setting.means[y][0] !== null,
      );
      const base = {
        xaxis: axis("x", study),
        yaxis: axis("y", study),
        showlegend: false,
        hoverinfo: "skip",
        cliponaxis: false,
      };
      if (front && state.view === "score") fronts.push(frontTrace(base, one, nondominated(means, y), y));
      const drawn = mine.filter(complete);
      made.push(
        linksTrace(base, one, drawn, x, y),
        meansTrace(base, one, means, mine, x, y),
        trialsTrace(base, one, drawn, x, y),
      );
    }
  }
  return [...made, ...fronts];
}

function frontTrace(base, one, best, y) {
  return {
    ...base,
    name: `front ${one.name}`,
    mode: "lines",
    x: best.map((setting) => setting.means.recon[0]),
    y: best.map((setting) => setting.means[y][0]),
    line: { color: one.colour, width: 2, shape: "hv" },
  };
}

function linksTrace(base, one, drawn, x, y) {
  const joined = drawn.filter((trial) => settings[trial.setting].means[x][0] !== null);
  const ends = (name) => joined.flatMap((trial) => [settings[trial.setting].means[name][0], trial.values[name], null]);
  return {
    ...base,
    name: `links ${one.name}`,
    mode: "lines",
    x: ends(x),
    y: ends(y),
    opacity: 0.3,
    line: { color: one.colour, width: 1 },
  };
}

function meansTrace(base, one, means, mine, x, y) {
  const first = (setting) => mine.find((trial) => trial.setting === setting.place).place;
  const bars = (name) => {
    const side = (place, sign) =>
      means.map(({ means: { [name]: ends } }) => (ends[place] === null ? 0 : sign * (ends[place] - ends[0])));
    return {
      type: "data",
      symmetric: false,
      array: side(2, 1),
      arrayminus: side(1, -1),
      color: `${one.colour}99`,
      thickness: 1,
      width: 0,
    };
  };
  const text = (setting) =>
    [
      setting.label,
      "mean over seeds",
      ...[x, y].map((name) => {
        const [mean, low, high] = setting.means[name].map((value) => written(value, digits(name)));
        return `${name} ${mean}${low === "-" ? "" : ` [${low}, ${high}]`}`;
      }),
    ]
      .map(plain)
      .join("<br>");
  return {
    ...base,
    name: `means ${one.name}`,
    mode: "markers",
    hoverinfo: "text",
    hovertext: means.map(text),
    customdata: means.map(first),
    x: means.map((setting) => setting.means[x][0]),
    y: means.map((setting) => setting.means[y][0]),
    error_x: bars(x),
    error_y: bars(y),
    marker: {
      symbol: one.marker,
      size: 13,
      color: one.colour,
      opacity: 1,
      line: { color: colour("--page"), width: 1.5 },
    },
  };
}

function trialsTrace(base, one, drawn, x, y) {
  const informative = (trial) => trial.fields.verdict !== "not informative";
  const text = (trial) =>
    [
      ...title(trial).split(", "), // narrow: a label that fits on neither side of its point is not drawn
      ...[...new Set([x, y, "kl"])].map((name) => `${name} ${written(trial.values[name], digits(name))}`),
      trial.fields.verdict,
    ]
      .map(plain)
      .join("<br>");
  return {
    ...base,
    name: `trials ${one.name}`,
    mode: "markers",
    hoverinfo: "text",
    hovertext: drawn.map(text),
    customdata: drawn.map((trial) => trial.place),
    x: drawn.map((trial) => trial.values[x]),
    y: drawn.map((trial) => trial.values[y]),
    marker: {
      symbol: drawn.map((trial) => (informative(trial) ? one.marker : "x-thin")),
      size: 7,
      color: one.colour,
      opacity: trials.length > CROWD ? 0.35 : 0.75,
      line: {
        color: drawn.map((trial) => (informative(trial) ? colour("--page") : one.colour)),
        width: drawn.map((trial) => (informative(trial) ? 0.7 : 2)),
      },
    },
  };
}

const PLOTLY = { displayModeBar: false, responsive: true, doubleClick: "reset" };
const moveRings = () => Plotly.relayout(plot, { shapes: rings() });

function drawPlot() {
  const visible = shown();
  Plotly.react(plot, traces(visible), layout(), PLOTLY);
  caption.replaceChildren(legend(), sentences(visible).join(" "));
}

function sentences(visible) {
  const lacking = visible.filter((trial) => !complete(trial)).length;
  const said = [
    settings.some((setting) => setting.means.recon[1] !== null)
      ? "Bars are 95 % intervals of the means, from three seeds on."
      : "Settings of one or two seeds have no interval; a front of so few describes this run alone.",
  ];
  if (state.view === "score" && studies.some((study) => study.front))
    said.push("Lines are the fronts of the families.");
  if (filtered()) said.push("Means stay over all finished seeds; a front is that of the settings shown alone.");
  if (lacking) said.push(`${count(lacking)} trials without a value on both axes are in the table alone.`);
  return said;
}

function legend() {
  const grey = colour("--muted");
  const named = data.families.length > 1 ? [] : data.families; // of several, the filter tells
  const entry = (sign, text) => element("span", {}, sign, text);
  return element(
    "div",
    { class: "keys" },
    ...named.map((one) => entry(marker(one.marker, one.colour), one.title)),
    entry(marker("circle", grey, 0.9), "a setting's mean over seeds"),
    entry(marker("circle", grey, 0.5), "a trial"),
    ...(trials.some((trial) => trial.fields.verdict === "not informative")
      ? [entry(marker("cross", grey, 0.8), "not informative")]
      : []),
  );
}

function walk(event) {
  const order = shown()
    .filter(complete)
    .sort((a, b) => a.values.recon - b.values.recon || a.place - b.place);
  const at = order.findIndex((trial) => trial.place === (state.cursor ?? state.selected));
  const steps = {
    ArrowRight: at + 1,
    ArrowDown: at + 1,
    ArrowLeft: at - 1,
    ArrowUp: at - 1,
    Home: 0,
    End: order.length - 1,
  };
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
  status.textContent = trial ? `${title(trial)}: ${values(trial)}. ${hint}` : "";
}

function buildPlot() {
  plot.tabIndex = 0;
  plot.setAttribute("role", "application");
  plot.setAttribute(
    "aria-label",
    "Trials as points; the table holds the same. Arrow keys walk by reconstruction, Enter selects, Escape clears.",
  );
  plot.addEventListener("keydown", walk);
  drawPlot();
  plot.on("plotly_click", ({ points: [point] }) => {
    if (point.customdata !== undefined) select(point.customdata, true);
  });
}
