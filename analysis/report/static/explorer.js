// All together: the page is built, and follows what a reader chooses.

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
select(trials.toSorted(compare)[0]?.place ?? null); // something to look at: the trial that reconstructs best
status.textContent = "";
narrow.addEventListener("change", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
