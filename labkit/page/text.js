"use strict";
/* The page of a run of notebook 02: a sentence, its words, and the curve of the running logit. */

const textSide = {
  mostPaddings: () => Math.min(run.parameters.max_len, // both ways all is read anew each time
    run.parameters.bidirectional ? 50 : run.parameters.readout === "padded" ? 500 : 200),

  read(asked) {
    const padding = Number(asked.get("padding") ?? 20) || 0;
    view.padding = Math.min(textSide.mostPaddings(), Math.max(0, padding));
    view.example = asked.get("example") ?? (asked.has("text") ? "" : "4");
    view.text = asked.get("text") ?? SENTENCES[view.example] ?? "";
    $("sentence").value = view.text;
  },
  said: () => ({ padding: view.padding, ...(view.example ? { example: view.example }
    : { text: view.text }) }),
  given() {
    const words = tokenize(view.text);
    const ids = words.map((word) => textSide.idOf.get(word) ?? UNKNOWN);
    return words.length ? { words, ids, padding: view.padding } : null;
  },
  answers: (name, { words, ids, padding }) => (name === "linear"
    ? weighWords(models[name], words, padding) : readWords(models[name], ids, padding)),
  steps: () => [0, view.given?.words.length ?? 0],
  where: () => (view.step ? `${say("afterWord")} ${view.step} / ${view.given.words.length}`
    : say("beginning")),

  table() {
    const head = [say("model"), say("answer"), say("logit"), say("end"),
      say("behind").replace("N", view.given.padding)];
    return [head, ...names.map((name) => {
      const found = view.found[name], { real } = found[view.step];
      const { real: end, counted } = found.at(-1), answer = say(real > 0 ? "positive" : "negative");
      return [name, `${answer} (${percent(sigmoid(Math.abs(real)))})`, signed(real), signed(end), signed(counted)];
    })];
  },

  build() {
    textSide.idOf = new Map(run.words.map((word, id) => [word, id]));
    const { readout, bidirectional, max_len: most } = run.parameters;
    each("[data-readout]", (one) => { one.hidden = one.dataset.readout !== readout; });
    each(".both-ways", (one) => { one.hidden = !bidirectional; });
    each(".most", (one) => { one.textContent = most; });
    SENTENCES.forEach((text, k) => {
      const press = () => {
        $("sentence").value = text;
        change({ example: `${k}`, text, step: Infinity });
      };
      button($("sentences"), text, press).dataset.example = k;
    });
    $("sentence").addEventListener("input", (event) =>
      change({ example: "", text: event.target.value, step: Infinity }));
    $("padding").max = textSide.mostPaddings();
    $("padding").addEventListener("input", (event) =>
      change({ padding: Number(event.target.value) }));
  },

  render() {
    $("sentences").setAttribute("aria-label", say("examples"));
    $("padding").value = $("paddings").textContent = view.padding;
    renderWords(view.given && view.found[view.model]);
    renderCurve($("curve"));
  },
};

/* Each word with how far it moved the logit of the chosen model. */
function renderWords(found) {
  $("words").replaceChildren();
  view.given?.words.forEach((word, k) => {
    const change = found[k + 1].real - found[k].real, unknown = view.given.ids[k] === UNKNOWN;
    const one = button($("words"), "", () => moveTo(k + 1));
    one.append(Object.assign(document.createElement("span"), { textContent: word }),
      Object.assign(document.createElement("small"), { textContent: signed(change) }));
    one.className = unknown ? "unknown" : "";
    one.title = unknown ? say("unknown") : "";
    const colour = change > 0 ? "up" : "down", depth = Math.min(0.5, Math.abs(change) / 4);
    one.style.background = `rgb(var(--${colour}) / ${depth})`;
    one.setAttribute("aria-pressed", view.step === k + 1);
  });
}

/* The running logit of each model through words and paddings, with 0 in the middle. */
function renderCurve(svg) {
  const width = svg.clientWidth, height = svg.clientHeight, left = 44, right = 12, bottom = 26;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren();
  if (!view.given) return;
  const { words, padding } = view.given;
  const logits = names.flatMap((name) => view.found[name]).flatMap((found) => Object.values(found));
  const most = 1.1 * Math.max(2, ...logits.map(Math.abs));
  const middle = (height - bottom) / 2, y = (logit) => middle * (1 - logit / most);
  const inner = width - left - right, wordsTo = left + inner * (padding ? 0.6 : 1);
  const x = (k) => (k <= words.length ? left + (wordsTo - left) * k / words.length
    : wordsTo + (width - right - wordsTo) * (k - words.length) / padding);
  const half = { x: left, width: inner, height: middle };
  draw("rect", { ...half, fill: "rgb(var(--up) / 0.08)" }, svg);
  draw("rect", { ...half, y: middle, fill: "rgb(var(--down) / 0.1)" }, svg);
  if (padding) {
    draw("rect", { x: wordsTo, width: width - right - wordsTo, height: height - bottom,
      fill: "var(--line)", opacity: 0.35 }, svg);
    const at = { x: (wordsTo + width - right) / 2, "text-anchor": "middle" };
    draw("text", { ...at, y: height - 8 }, svg, `${padding} ${say("paddings")}`);
    if (width - right - wordsTo > 150) {
      draw("text", { ...at, y: 17 }, svg, say("dotted"));
    }
  }
  draw("line", { x1: left, x2: width - right, y1: middle, y2: middle, stroke: "var(--soft)" }, svg);
  draw("text", { x: left + 6, y: 16 }, svg, `${say("logit")} > 0: ${say("positive")}`);
  draw("text", { x: left + 6, y: 2 * middle - 7 }, svg, `${say("logit")} < 0: ${say("negative")}`);
  const apart = [1, 2, 5, 10, 20].find((step) => most < 4 * step) ?? 50;
  for (let logit = -3 * apart; logit < most; logit += apart) {
    if (-logit >= most) continue;
    draw("text", { x: left - 6, y: y(logit) + 4, "text-anchor": "end" }, svg,
      logit ? signed(logit).slice(0, -3) : "0");
  }
  const room = (wordsTo - left) / words.length;
  if (words.every((word) => room > 7 * word.length)) {
    words.forEach((word, k) =>
      draw("text", { x: x(k + 1), y: height - 8, "text-anchor": "end" }, svg, word));
  } else {
    draw("text", { x: (left + wordsTo) / 2, y: height - 8, "text-anchor": "middle" }, svg,
      `${words.length} ${say("wordsRead")}`);
  }
  draw("line", { x1: x(view.step), x2: x(view.step), y2: height - bottom, stroke: "var(--ink)" },
    svg);
  for (const name of names) {
    const found = view.found[name], colour = `var(--${name})`;
    const line = (key, from, how) => draw("polyline", { fill: "none", stroke: colour, ...how,
      points: found.slice(from).map((answer, k) => [x(from + k), y(answer[key])]).join(" ") }, svg);
    const dashes = { RNN: "7 4", linear: "9 3 2 3" }[name] ?? "none";
    line("real", 0, { "stroke-width": 2.5, "stroke-dasharray": dashes });
    if (padding && name !== "linear") line("counted", words.length, { "stroke-width": 1.5, "stroke-dasharray": "2 3" });
    draw("circle", { cx: x(view.step), cy: y(found[view.step].real), r: 4.5, fill: colour }, svg);
  }
  const ends = names.map((name) => `${name} ${signed(view.found[name][words.length].real)}`);
  svg.setAttribute("aria-label", `${say("logit")}: ${ends.join(", ")}`);
}
