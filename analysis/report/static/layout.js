// Where things lie in the plot: axes, names of studies, rings around trials.

const axis = (letter, study) => `${letter}${study ? study + 1 : ""}`;
const entropies = () => studies.map(({ entropy }, study) => ({ at: entropy, study })).filter((one) => one.at !== null);

// The same whatever is filtered out, so that points stay where they are.
function ends(name, study) {
  const own = (one) => data.comparable || one.study === study;
  const limits = name === "kl" ? entropies().filter(own) : [];
  const values = [
    ...trials.filter(own).map((trial) => trial.values[name]),
    ...settings.filter(own).flatMap((setting) => setting.means[name]),
    ...limits.map((limit) => limit.at),
  ].filter((value) => value !== null);
  if (!values.length) return [0, 1];
  const [least, most] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
  const margin = 0.07 * (most - least) || 0.5;
  return [least - margin, most + margin];
}

function named(study, place) {
  const [xref, yref] = [`${axis("x", place)} domain`, `${axis("y", place)} domain`];
  const at = { xref, yref, x: 0, y: 1, xanchor: "left", yanchor: "bottom" };
  return { ...at, showarrow: false, text: plain(study.name), font: { size: 13.5 } };
}

function ending({ at, study }) {
  const place = { xref: axis("x", study), yref: `${axis("y", study)} domain`, x: at, y: 1 };
  const look = { xanchor: "right", yanchor: "top", showarrow: false, font: { color: colour("--muted") } };
  return { ...place, ...look, text: "H(images)" };
}

function layout() {
  const [x, y] = axes();
  const beside = !narrow.matches;
  const number = studies.length;
  const titles = {
    recon: number > 1 || !beside ? data.recon : `${data.recon}; less is better`,
    kl: "rate: KL, held-out (nats per image)",
    ...Object.fromEntries(scores.map((score) => [score.name, score.title])),
  };
  const look = {
    gridcolor: colour("--line"),
    zeroline: false,
    linecolor: colour("--edge"),
    showline: true,
    ticks: "outside",
    tickcolor: colour("--edge"),
    ticklen: 4,
    automargin: true,
    autorange: false,
  };
  const small = (text) => ({ text: plain(text), font: { size: 12.5 }, standoff: 8 });
  const part = (place) => {
    const gap = beside ? (data.comparable ? 0.04 : 0.1) : 0.22;
    const size = (1 - gap * (number - 1)) / number;
    return [place * (size + gap), place * (size + gap) + size];
  };
  const made = {
    autosize: true,
    height: beside ? 440 : 360 * number,
    margin: { l: 56, r: 12, t: number > 1 ? 34 : 12, b: 40 },
    paper_bgcolor: colour("--page"),
    plot_bgcolor: colour("--page"),
    hovermode: "closest",
    uirevision: `${x} ${y} ${beside}`,
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    shapes: rings(),
    font: { family: getComputedStyle(root).fontFamily, size: 12, color: colour("--ink") },
    hoverlabel: {
      bgcolor: colour("--ink"),
      font: { color: colour("--page"), size: 12.5 },
      bordercolor: colour("--ink"),
      align: "left",
    },
  };
  studies.forEach((study, place) => {
    const outer = beside ? [true, place === 0 || !data.comparable] : [place === number - 1 || !data.comparable, true];
    const [horizontal, vertical] = beside ? [part(place), [0, 1]] : [[0, 1], part(number - 1 - place)];
    const name = (letter) => `${letter}axis${place ? place + 1 : ""}`;
    const linked = (letter) => (data.comparable && place ? { matches: letter } : {});
    made[name("x")] = {
      ...look,
      domain: horizontal,
      anchor: axis("y", place),
      range: ends(x, place),
      title: outer[0] ? small(titles[x]) : undefined,
      ...linked("x"),
    };
    made[name("y")] = {
      ...look,
      domain: vertical,
      anchor: axis("x", place),
      range: ends(y, place),
      title: outer[1] ? small(titles[y]) : undefined,
      ...linked("y"),
    };
  });
  made.annotations = [...(number > 1 ? studies.map(named) : []), ...(x === "kl" ? entropies().map(ending) : [])];
  return made;
}

// Rings around the trial under the keyboard's cursor (thin) and the selected one, and the line of H(images).
function rings() {
  const [x, y] = axes();
  const ring = (place, radius, width) => {
    const trial = place === null ? null : trials[place];
    if (trial === null || !passes(trial) || !complete(trial)) return [];
    return [
      {
        type: "circle",
        name: "ring",
        xref: axis("x", trial.study),
        yref: axis("y", trial.study),
        xsizemode: "pixel",
        ysizemode: "pixel",
        xanchor: trial.values[x],
        yanchor: trial.values[y],
        x0: -radius,
        x1: radius,
        y0: -radius,
        y1: radius,
        line: { color: colour("--ink"), width },
      },
    ];
  };
  const entropy = ({ at, study }) => ({
    type: "line",
    xref: axis("x", study),
    yref: `${axis("y", study)} domain`,
    x0: at,
    x1: at,
    y0: 0,
    y1: 1,
    line: { color: colour("--muted"), width: 1, dash: "dot" },
  });
  return [
    ...(x === "kl" ? entropies().map(entropy) : []),
    ...ring(state.selected, 10, 2),
    ...(state.cursor === state.selected ? [] : ring(state.cursor, 8, 1)),
  ];
}
