// Every trial a row: sorted by a click on a head, walked by the arrow keys.

const varied = filters.filter(({ name }) => !["family", "seed", "verdict"].includes(name));
const columns = [
  ...(studies.length > 1 ? [{ name: "study", of: (trial) => studies[trial.study].name }] : []),
  { name: "family", of: (trial) => family[trial.fields.family].title },
  ...varied.map((field) => ({
    name: field.name,
    title: field.title,
    number: field.numeric,
    of: (trial) => trial.fields[field.name],
    text: (value) => new Map(field.values).get(value) ?? "",
  })),
  { name: "seed", number: true, of: (trial) => trial.seed },
  ...["recon", "kl", ...scores.map((score) => score.name)].map((name) => ({
    name,
    number: true,
    of: (trial) => trial.values[name],
    text: (value) => written(value, digits(name)),
  })),
  { name: "verdict", of: (trial) => trial.fields.verdict },
  { name: "key", of: (trial) => trial.key, text: (value) => value.slice(0, 8) },
];
const rows = [];
const body = element("tbody");
const heads = new Map();

function compare(one, other) {
  const { of } = columns.find((column) => column.name === state.sort.name);
  const [a, b] = [of(one), of(other)];
  if (!data.comparable && one.study !== other.study) return one.study - other.study;
  if (a === null || b === null) return (a === null) - (b === null) || one.place - other.place; // missing ones last
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
  const next = {
    ArrowDown: row.nextElementSibling,
    ArrowUp: row.previousElementSibling,
    Home: body.firstElementChild,
    End: body.lastElementChild,
  };
  if (event.key in next) next[event.key]?.focus();
  else if (event.key === "Enter" || event.key === " ") select(+row.dataset.place);
  else if (event.key === "Escape") select(null);
  else return;
  event.preventDefault();
}

function buildTable() {
  const head = (column) => {
    const press = () => {
      state.sort = { name: column.name, down: state.sort.name === column.name && !state.sort.down };
      drawTable();
    };
    const made = element(
      "th",
      { scope: "col", class: column.number ? "number" : null },
      element("button", { type: "button", onclick: press }, column.title ?? column.name),
    );
    heads.set(column.name, made);
    return made;
  };
  const cell = (column, trial) => {
    const sign = column.name === "family" ? [marked(trial)] : [];
    const value = column.of(trial);
    return element(
      "td",
      { class: column.number ? "number" : null },
      ...sign,
      column.text ? column.text(value) : String(value ?? "-"),
    );
  };
  for (const trial of trials) {
    rows.push(
      element(
        "tr",
        {
          "data-place": trial.place,
          onclick: () => select(trial.place, true),
          onfocus: () => {
            state.cursor = trial.place;
            mark();
            moveRings();
          },
        },
        ...columns.map((column) => cell(column, trial)),
      ),
    );
  }
  body.addEventListener("keydown", rowKey);
  table.append(
    element(
      "div",
      { class: "scroll" },
      element(
        "table",
        { role: "grid", "aria-label": "Trials. Arrow keys walk, Enter selects, Escape clears." },
        element("thead", {}, element("tr", {}, ...columns.map(head))),
        body,
      ),
    ),
  );
  drawTable();
}

function reveal(row) {
  const scroll = table.querySelector(".scroll");
  const top = row.offsetTop - scroll.querySelector("thead").offsetHeight;
  if (top < scroll.scrollTop) scroll.scrollTop = top;
  else if (row.offsetTop + row.offsetHeight > scroll.scrollTop + scroll.clientHeight)
    scroll.scrollTop = row.offsetTop + row.offsetHeight - scroll.clientHeight;
}
