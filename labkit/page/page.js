"use strict";
/* The page: what a reader does becomes a state, the state an answer of the nets, that a picture.

   digits.js and text.js have what differs between the two notebooks: `tasks`, `build`, `render`. */

const $ = (id) => document.getElementById(id);
const each = (selector, act) => document.querySelectorAll(selector).forEach(act);
const run = JSON.parse($("run").textContent);
const isText = run.notebook === "02_imdb", names = Object.keys(run.models);
const models = Object.fromEntries(Object.entries(run.models).map(([name, model]) =>
  [name, ({ LeNet: lenet, linear }[name] ?? recurrent)(model)]));
const side = isText ? textSide : digitSide;

const say = (key) => SAID[key][view.lang === "zh" ? 1 : 0];
const percent = (share) => `${(100 * share).toFixed(1)}%`;
const signed = (x) => `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(2)}`;

/* The state: what a reader chose, and in `found` what the nets answer to `given`, step by step. */
const view = { lang: "en", model: "LSTM", example: "", step: 0, prepared: true, strokes: [],
  padding: 0, text: "", given: null, found: {}, slowest: 0 };

/* What a teacher shares stands in the address, behind #. */
function readAddress() {
  const asked = new URLSearchParams(location.hash.slice(1)), get = (name) => asked.get(name);
  view.lang = (get("lang") ?? run.parameters.lang) === "zh" ? "zh" : "en";
  view.model = [get("model"), "LSTM", names[0]].find((name) => names.includes(name));
  view.step = asked.has("step") ? Number(get("step")) || 0 : Infinity; // Infinity: the last
  side.read(asked);
  update();
}

function writeAddress() {
  const said = { lang: view.lang, model: view.model, step: view.step, ...side.said() };
  try {
    history.replaceState(null, "", `#${new URLSearchParams(said)}`);
  } catch { // a frame in a notebook has no address
    each(".address", (one) => { one.hidden = true; });
  }
}

/* Ask the nets, a row or a word at a time, with pauses in which the page draws and listens. */
let busy = false, again = false;
async function update() {
  again = true;
  if (busy) return;
  busy = true;
  while (again) {
    again = false;
    const given = side.given(), found = {};
    let pause = performance.now() + 20;
    for (const name of given === null ? [] : names) {
      const answers = side.answers(name, given);
      found[name] = [];
      while (!again) { // else the text has changed meanwhile
        const started = performance.now(), { value, done } = answers.next();
        if (done) break;
        view.slowest = Math.max(view.slowest, performance.now() - started); // milliseconds
        found[name].push(value);
        if (performance.now() > pause) {
          await new Promise((go) => setTimeout(go));
          pause = performance.now() + 20;
        }
      }
    }
    if (again) continue;
    Object.assign(view, { given, found });
    render();
  }
  busy = false;
}

function render() {
  const [low, high] = side.steps();
  view.step = Math.min(high, Math.max(low, view.step));
  document.documentElement.lang = view.lang;
  const empty = view.given === null;
  Object.assign($("step"), { min: low, max: high, value: view.step, disabled: empty });
  $("step").setAttribute("aria-label", say("step"));
  $("play").setAttribute("aria-label", say("play"));
  $("where").textContent = side.where();
  const press = (one, pressed) => one.setAttribute("aria-pressed", pressed);
  each(".models button", (one) => press(one, one.textContent === view.model));
  each("[data-example]", (one) => press(one, one.dataset.example === view.example));
  side.render();
  const rows = empty ? [] : side.table();
  table(rows);
  const answers = rows.slice(1).map(([name, answer]) => `${name} ${answer}`);
  $("step").setAttribute("aria-valuetext", [side.where(), ...answers].join(", "));
  $("status").textContent = empty ? say("nothing") : "";
  about();
  writeAddress();
  if (window.frameElement) { // in a notebook: the frame stands for the picture before it
    frameElement.previousElementSibling.style.display = "none"; // JupyterLab overrules `hidden`
    Object.assign(frameElement.style, { display: "block", width: "100%" });
    frameElement.style.height = `${document.documentElement.offsetHeight + 24}px`;
  }
}

/* Show rows of text; the first is the head, the first of each the model. */
function table([head = [], ...rows]) {
  const cells = (row, texts, tag) => row.replaceChildren(...texts.map((text, k) => {
    const cell = Object.assign(document.createElement(k ? tag : "th"), { textContent: text });
    if (cell.tagName === "TH") cell.scope = tag === "th" ? "col" : "row";
    if (!k && tag === "td") cell.prepend(swatch(text), " ");
    return cell;
  }));
  cells($("head"), head, "th");
  $("answers").replaceChildren(...rows.map((texts) => {
    const row = document.createElement("tr");
    cells(row, texts, "td");
    return row;
  }));
}

function swatch(name) {
  const made = Object.assign(document.createElement("span"), { className: "swatch" });
  made.style.background = `var(--${name})`;
  return made;
}

/* What run this is, and what rounding its weights costs. */
function about() {
  const { parameters: asked, accuracy, num_scored: count } = run;
  const examples = run.num_train.toLocaleString("en"), zh = view.lang === "zh";
  $("about").textContent = zh
    ? `一次运行的模型：${run.notebook}，${asked.preset}，种子 ${asked.seed}，${examples} 个训练样本，`
      + `${asked.num_epochs} 轮。`
    : `The models of one run: ${run.notebook}, ${asked.preset}, seed ${asked.seed}, trained on `
      + `${examples} examples for ${asked.num_epochs} ${asked.num_epochs === 1 ? "epoch" : "epochs"}.`;
  const costs = Object.entries(accuracy).map(([name, kept]) => `${name} ${Object.entries(kept)
    .map(([how, share]) => `${percent(share)} (${say(how)})`).join(" → ")}`).join("; ");
  $("rounding").textContent = (zh
    ? `本文件里网络的权重取整为 8 位整数。在测试集中 ${count} 个样本上的准确率：`
    : "The weights of the nets in this file are rounded to 8 bits. "
      + `Accuracy on ${count} of the test examples, not on all as in the notebook: `)
    + costs;
}

function draw(tag, attributes, parent, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return parent.appendChild(element);
}

function button(parent, label, press) {
  const made = Object.assign(document.createElement("button"), { type: "button" });
  made.textContent = label;
  made.addEventListener("click", press);
  return parent.appendChild(made);
}

function change(what) {
  Object.assign(view, what);
  update();
}

function moveTo(step) {
  view.step = step;
  if (view.given !== null) render();
}

let playing = 0;
function play() {
  clearInterval(playing);
  if (view.given === null) return;
  view.step = -Infinity; // before the first
  playing = setInterval(() => {
    moveTo(view.step + 1);
    if (view.step >= side.steps()[1]) clearInterval(playing);
  }, isText ? 400 : 150);
}

function begin() {
  each(".digits", (one) => { one.hidden = isText; });
  each(".text", (one) => { one.hidden = !isText; });
  each(".models", (group) => names.forEach((name) =>
    button(group, name, () => { view.model = name; render(); })));
  side.build();
  $("language").addEventListener("click", () => {
    view.lang = view.lang === "zh" ? "en" : "zh";
    render();
  });
  $("step").addEventListener("input", (event) => {
    clearInterval(playing);
    moveTo(Number(event.target.value));
  });
  $("play").addEventListener("click", play);
  addEventListener("hashchange", readAddress);
  addEventListener("resize", () => side.render());
  addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by && !["INPUT", "TEXTAREA"].includes(event.target.tagName)) moveTo(view.step + by);
  });
  readAddress();
}
begin();
