// One trial: its pictures, KL along training, audit, scores and configuration.

const LATENTS = "#0173b2 #de8f05 #029e73 #d55e00 #cc78bc #ca9161 #fbafe4 #949494 #b8a800 #56b4e9".split(" ");

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
    detail.replaceChildren(
      element(
        "p",
        { class: "empty" },
        "Click a point or a row, or walk by arrow keys and press Enter: here come the trial's pictures and scores.",
      ),
    );
    return;
  }
  detail.replaceChildren(
    element("h3", {}, marked(trial), title(trial)),
    element("p", { class: "muted" }, `${values(trial)}; ${trial.fields.verdict}`),
    ...(trial.pictures ? sheets(trial) : [element("p", {}, trial.missing)]),
    ...(trial.curves
      ? [element("h4", {}, "KL along training"), element("div", { class: "curves" })]
      : [element("p", {}, "No reports are stored of this trial.")]),
    element("h4", {}, "Audit"),
    entries(trial.audit),
    ...(trial.scores.length
      ? [element("h4", {}, "Scores"), element("div", { class: "table" }, scoreTable(trial.scores))]
      : []),
    element("details", {}, element("summary", {}, "Configuration"), entries(trial.config)),
    element("h4", {}, "In Python"),
    element(
      "pre",
      { tabindex: 0, "aria-label": "Code that loads the trained model" },
      element("code", {}, `from study.store import open_study\nmodel = ${trial.load}`),
    ),
    element("p", { class: "muted" }, `Key ${trial.key}`),
  );
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
  const picture = element("img", {
    class: "traversals",
    alt: `Traversals of ${latents.length} latents from -3 to 3, rows by KL`,
  });
  const choices = traversals.map((source, place) =>
    element(
      "button",
      {
        type: "button",
        "aria-label": `Image ${place + 1}`,
        onclick: () => {
          state.image = place;
          show();
        },
      },
      String(place + 1),
    ),
  );
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
    return element(
      "div",
      {
        class: row.active ? null : "faint",
        title: `z${row.latent}: KL ${row.kl.toFixed(2)}, I ${row.info.toFixed(2)} nats`,
      },
      name,
      element("span", {}, row.kl.toFixed(1)),
      element("span", {}, said),
    );
  };
  const labels = element("div", { class: "labels" }, ...latents.map(label));
  labels.style.gridTemplateRows = `repeat(${latents.length}, 1fr)`;
  return [
    element(
      "h4",
      {},
      "Traversals",
      ...(choices.length > 1
        ? [element("span", { class: "choice", role: "group", "aria-label": "Held-out image" }, ...choices)]
        : []),
    ),
    element(
      "div",
      { class: "sheet" },
      element(
        "div",
        { class: "head" },
        element("span", {}, "latent"),
        element("span", {}, "KL"),
        element("span", {}, "factor, share"),
      ),
      element("span", {}),
      labels,
      picture,
      element("div", { class: "scale" }, ...["z = −3", "0", "3"].map((text) => element("span", {}, text))),
    ),
    element("h4", {}, "Held-out images above their reconstructions"),
    element("img", {
      class: "reconstructions",
      src: reconstructions,
      alt: "Held-out images above their reconstructions",
    }),
  ];
}

function entries(pairs) {
  return element(
    "table",
    {},
    element(
      "tbody",
      {},
      ...pairs.map(([name, text]) => tr([element("th", { scope: "row" }, name), element("td", {}, text)])),
    ),
  );
}

function scoreTable(all) {
  const head = ["score", "raw", "calibrated", "null", "ceiling", "sd of one"].map((text) =>
    element("th", { scope: "col" }, text),
  );
  return element(
    "table",
    {},
    element("thead", {}, tr(head)),
    element(
      "tbody",
      {},
      ...all.map(([name, ...numbers]) =>
        tr([element("th", { scope: "row" }, name), ...numbers.map((text) => element("td", {}, text))]),
      ),
    ),
  );
}

function drawCurves(place, trial) {
  const { steps, kl, capacity, latents, opened } = trial.curves;
  const colours = latentColours(trial);
  const line = (name, y, look) => ({
    name,
    x: steps,
    y,
    mode: "lines",
    line: { width: 1.6, ...look },
    hovertemplate: `${name} %{y} nats at %{x}<extra></extra>`,
  });
  const order = Object.keys(latents).sort((a, b) => (a in colours) - (b in colours)); // faint ones lie below
  const made = [
    ...order.map((j) => line(`z${j}`, latents[j], { color: colours[j] ?? colour("--line") })),
    line("all latents", kl, { color: colour("--muted") }),
    ...(capacity ? [line("C", capacity, { color: colour("--ink"), dash: "dash", width: 1.2 })] : []),
    {
      x: opened.map(([, step]) => step),
      y: opened.map(() => 0),
      mode: "markers",
      hoverinfo: "text",
      cliponaxis: false,
      hovertext: opened.map(([j]) => `z${j} opens`),
      marker: { symbol: "triangle-up", size: 9, color: opened.map(([j]) => colours[j] ?? colour("--edge")) },
    },
  ];
  const look = {
    gridcolor: colour("--line"),
    zeroline: false,
    linecolor: colour("--edge"),
    showline: true,
    automargin: true,
  };
  const end = (values) => values.at(-1) ?? 0;
  const label = (text, y, shift) => ({
    text,
    x: 1,
    xref: "paper",
    xanchor: "left",
    y,
    showarrow: false,
    xshift: 4,
    yshift: shift,
    font: { size: 11 },
  });
  const meets = capacity && Math.abs(end(kl) - end(capacity)) < 0.1 * Math.max(end(kl), end(capacity)) ? 6 : 0;
  const upper = capacity && end(capacity) > end(kl) ? -1 : 1;
  Plotly.newPlot(
    place,
    made,
    {
      height: 230,
      margin: { l: 40, r: 30, t: 6, b: 40 },
      showlegend: false,
      hovermode: "closest",
      dragmode: false,
      paper_bgcolor: colour("--page"),
      plot_bgcolor: colour("--page"),
      font: { family: getComputedStyle(root).fontFamily, size: 11.5, color: colour("--ink") },
      xaxis: { ...look, title: { text: "updates; triangles: where a latent opens", standoff: 6 } },
      yaxis: { ...look, rangemode: "tozero", title: { text: "KL, held-out (nats)", standoff: 6 } },
      annotations: [
        label("KL", end(kl), upper * meets),
        ...(capacity ? [label("C", end(capacity), -upper * meets)] : []),
      ],
    },
    { ...PLOTLY, doubleClick: false },
  );
}
