"use strict";
/* The page of a run of notebook 01: a field to draw on, what the nets are given, a panel a net. */

const CELL = 3; // height of a row in a panel that is 100 wide
const panels = {};
const pen = { x: 0.5, y: 0.3, down: false, shown: false }; // of who draws with the keyboard

const digitSide = {
  read(asked) {
    view.prepared = asked.get("prepared") !== "0";
    view.example = asked.get("example") ?? (asked.has("draw") ? "" : "3");
    view.strokes = asked.has("draw") ? decoded(asked.get("draw")) : exampleStrokes(view.example);
  },
  said: () => ({ prepared: Number(view.prepared), ...(view.example ? { example: view.example }
    : { draw: coded(view.strokes) }) }),
  given: () => (view.strokes.length ? prepare(view.strokes, view.prepared) : null),
  answers: (name, x) => (name === "LeNet" ? seeRows(models[name], x, PAPER)
    : readRows(models[name], x)),
  steps: () => [1, 32],
  where: () => `${say("afterRow")} ${view.step} / 32`,

  table() {
    const head = ["model", "answer", "second", "since"].map(say);
    return [head, ...names.map((name) => {
      const answers = view.found[name].map(softmax), now = answers[view.step - 1];
      const [first, second] = [...now.keys()].sort((a, b) => now[b] - now[a]);
      const since = answers.findLastIndex((shares) => best(shares) !== first) + 2;
      return [name, `${first} (${percent(now[first])})`, `${second} (${percent(now[second])})`,
        since > 32 ? say("sinceNone") : since];
    })];
  },

  build() {
    panels.picture = panel($("picture"));
    panels.image = draw("image", { width: 100, height: 32 * CELL, preserveAspectRatio: "none",
      style: "image-rendering: pixelated" }, panels.picture.content);
    for (const name of names) buildNet(name);
    for (const key of Object.keys(DIGITS)) {
      const press = () => change({ example: key, strokes: exampleStrokes(key), step: 32 });
      button($("examples"), key, press).dataset.example = key;
    }
    $("clear").addEventListener("click", () => change({ example: "", strokes: [] }));
    $("prepared").addEventListener("change", (event) => change({ prepared: event.target.checked }));
    listenToPad($("pad"));
    $("panels").after($("reading"));
  },

  render() {
    renderPad($("pad"));
    $("prepared").checked = view.prepared;
    $("examples").setAttribute("aria-label", say("examples"));
    $("examples").lastChild.textContent = say("corner");
    panels.image.setAttribute("href", pictureOf(view.given ?? new Float32Array(1024).fill(PAPER)));
    panels.picture.svg.setAttribute("aria-label", say("picture"));
    for (const name of ["picture", ...names]) {
      const y = CELL * (view.given ? view.step : 32), { veil, line } = panels[name];
      veil.setAttribute("y", y);
      veil.setAttribute("height", 32 * CELL - y);
      line.setAttribute("y1", y);
      line.setAttribute("y2", y);
    }
    for (const name of names) renderNet(name, view.given && view.found[name].map(softmax));
  },
};

const best = (shares) => shares.indexOf(Math.max(...shares));
const inside = (share) => Math.round(1295 * Math.min(1, Math.max(0, share))) / 1295;
const exampleStrokes = (key) => (DIGITS[key] ?? []).map((points) =>
  points.map((point) => point.map((at) => inside(at / 100))));

/* Strokes as text for the address: two digits of base 36 a number, as fine as `inside` is. */
const coded = (strokes) => strokes.map((points) => points.flat().map((share) =>
  Math.round(1295 * share).toString(36).padStart(2, "0")).join("")).join(".");
const decoded = (text) => text.split(".").map((stroke) => stroke.match(/[0-9a-z]{4}/g) ?? [])
  .filter((points) => points.length).map((points) => points.map((point) =>
    [point.slice(0, 2), point.slice(2)].map((number) => parseInt(number, 36) / 1295)));

function panel(svg) {
  draw("rect", { width: 100, height: 32 * CELL, fill: "var(--field)" }, svg);
  const content = draw("g", {}, svg);
  const veil = draw("rect", { width: 100, fill: "var(--paper)", opacity: 0.72 }, svg);
  const line = draw("line", { x2: 100, stroke: "var(--ink)", "stroke-width": 0.8 }, svg);
  const stand = (event) => {
    const box = svg.getBoundingClientRect();
    moveTo(Math.ceil((event.clientY - box.top) / box.width * 100 / CELL));
  };
  svg.addEventListener("pointerdown", stand);
  svg.addEventListener("pointermove", (event) => event.buttons && stand(event));
  return { svg, content, veil, line };
}

function buildNet(name) {
  const figure = $("panels").appendChild(document.createElement("figure"));
  const net = panel(draw("svg", { viewBox: "0 0 100 106", role: "img" }, figure));
  net.cells = Array.from({ length: 320 }, (_, k) => draw("rect", { x: 10 * (k % 10), width: 9.7,
    y: CELL * Math.floor(k / 10), height: CELL - 0.2, fill: `var(--${name})` }, net.content));
  net.dots = Array.from({ length: 32 }, (_, row) => draw("circle", { r: 0.9, cy: CELL * (row + 0.5),
    fill: "var(--ink)", stroke: "var(--paper)", "stroke-width": 0.4 }, net.content));
  for (let k = 0; k < 10; k++) {
    draw("text", { x: 10 * k + 5, y: 32 * CELL + 8, "text-anchor": "middle" }, net.svg, k);
  }
  const caption = figure.appendChild(document.createElement("figcaption"));
  panels[name] = { ...net, figure, caption };
}

function renderNet(name, answers) {
  const { svg, cells, dots, caption, figure } = panels[name];
  cells.forEach((cell, k) => cell.setAttribute("fill-opacity",
    answers ? answers[Math.floor(k / 10)][k % 10].toFixed(3) : 0));
  dots.forEach((dot, row) => {
    dot.setAttribute("visibility", answers ? "visible" : "hidden");
    if (answers) dot.setAttribute("cx", 10 * best(answers[row]) + 5);
  });
  const now = answers?.[view.step - 1];
  const said = now ? `${best(now)} (${percent(Math.max(...now))})` : "–";
  caption.replaceChildren(swatch(name), ` ${name}: ${said}`);
  svg.setAttribute("aria-label", `${name}, ${digitSide.where()}: ${said}`);
  figure.className = name === view.model ? "" : "other"; // a phone shows one
}

/* The 32 × 32 numbers as a picture, black on white. */
function pictureOf(x) {
  const canvas = Object.assign(document.createElement("canvas"), { width: 32, height: 32 });
  const context = canvas.getContext("2d"), pixels = context.createImageData(32, 32);
  x.forEach((value, k) => {
    const grey = 255 - 255 * (value * STD + MEAN);
    pixels.data.set([grey, grey, grey, 255], 4 * k);
  });
  context.putImageData(pixels, 0, 0);
  return canvas.toDataURL();
}

function renderPad(pad) {
  pad.setAttribute("aria-label", say("field"));
  pad.replaceChildren();
  for (const points of smooth(view.strokes)) {
    draw("polyline", { points: [...points, points.at(-1)].join(" "), fill: "none",
      stroke: "#1a1a1a", "stroke-width": 2 * RADIUS / FIELD, "stroke-linecap": "round",
      "stroke-linejoin": "round" }, pad);
  }
  if (pen.shown) {
    draw("circle", { cx: pen.x, cy: pen.y, r: 0.03, fill: pen.down ? "#E69F00" : "none",
      stroke: "#E69F00", "stroke-width": 0.015 }, pad);
  }
}

function listenToPad(pad) {
  const at = (event) => {
    const box = pad.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]
      .map(inside);
  };
  const drawn = () => {
    change({ example: "", step: 32 });
    renderPad(pad);
  };
  pad.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    pad.setPointerCapture(event.pointerId);
    pen.shown = pen.down = false;
    view.strokes = [...view.strokes, [at(event)]];
    drawn();
  });
  pad.addEventListener("pointermove", (event) => {
    if (!pad.hasPointerCapture(event.pointerId)) return;
    const points = view.strokes.at(-1), [x, y] = at(event), [px, py] = points.at(-1);
    if (Math.hypot(x - px, y - py) < 0.02) return;
    points.push([x, y]);
    drawn();
  });
  pad.addEventListener("keydown", (event) => {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const move = moves[event.key];
    if (!move && event.key !== " ") return;
    event.preventDefault();
    event.stopPropagation();
    pen.shown = true;
    if (move) [pen.x, pen.y] = [inside(pen.x + move[0] / 20), inside(pen.y + move[1] / 20)];
    else pen.down = !pen.down;
    if (pen.down && move) view.strokes.at(-1).push([pen.x, pen.y]);
    else if (pen.down) view.strokes = [...view.strokes, [[pen.x, pen.y]]];
    if (pen.down) drawn();
    else renderPad(pad);
  });
}
