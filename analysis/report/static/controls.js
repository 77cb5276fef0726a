// The view, the score and the filters; each filter is shown where there is something to choose.

const MANY = 8; // values of a number field from which on it is filtered by its ends

function group(legend, ...children) {
  return element("fieldset", {}, element("legend", {}, legend), ...children);
}

function viewControls() {
  const views = [
    ["score", "score and reconstruction"],
    ["rate", "rate and distortion"],
  ];
  const radio = ([value, text]) =>
    element(
      "label",
      {},
      element("input", {
        type: "radio",
        name: "view",
        value,
        checked: value === state.view,
        onchange: () => {
          state.view = value;
          choose.disabled = value !== "score";
          draw();
        },
      }),
      text,
    );
  const choose = element(
    "select",
    {
      name: "score",
      "aria-label": "Score",
      onchange: () => {
        state.score = choose.value;
        draw();
      },
    },
    ...scores.map((score) => element("option", { value: score.name }, score.name)),
  );
  return [group("View", ...views.map(radio)), element("label", {}, "Score ", choose)];
}

function boxes(field) {
  const hidden = new Set();
  state.hidden.set(field.name, hidden);
  const box = ([value, text]) =>
    element(
      "label",
      {},
      element("input", {
        type: "checkbox",
        name: field.name,
        value: text,
        checked: true,
        onchange: (event) => {
          hidden[event.target.checked ? "delete" : "add"](value);
          refresh();
        },
      }),
      ...(field.name === "family" ? [marker(family[value].marker, family[value].colour)] : []),
      text,
    );
  return group(field.title, ...field.values.map(box));
}

function range(field) {
  const ends = [field.values[0][0], field.values.at(-1)[0]];
  const end = (place, text) =>
    element(
      "label",
      {},
      text,
      element("input", {
        type: "number",
        step: "any",
        name: `${field.name}-${text}`,
        placeholder: written(ends[place], 1),
        oninput: () => {
          const [least, most] = inputs.map((label) => label.querySelector("input").value);
          state.bounds.delete(field.name);
          if (least || most) state.bounds.set(field.name, [least ? +least : -Infinity, most ? +most : Infinity]);
          refresh();
        },
      }),
    );
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
    form.querySelector("select")?.removeAttribute("disabled");
    refresh();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.append(
    ...(scores.length ? viewControls() : []),
    element("div", { class: "break" }),
    ...filters.map((field) => (field.numeric && field.values.length > MANY ? range(field) : boxes(field))),
    element("div", { class: "break" }),
    counted,
    reset,
  );
}
