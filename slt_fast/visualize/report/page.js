"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const [video, overlay, caption, looking] = ["video", "overlay", "caption", "looking"]
  .map((id) => document.getElementById(id));
const told = looking.textContent;

function element(name, parent, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent.append(made);
  return made;
}

const clock = (seconds) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(2).padStart(5, "0")}`;
const largest = (values) => values.reduce((best, value, i) => (value > values[best] ? i : best), 0);

// Black to yellow, as the pictures of visualize_attention.py.
function colour(share) {
  const stops = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]];
  const at = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const [low, part] = [Math.min(Math.floor(at), stops.length - 2), at - Math.min(Math.floor(at), stops.length - 2)];
  return stops[low].map((value, i) => Math.round(value + part * (stops[low + 1][i] - value)));
}

function clearOverlay() {
  overlay.getContext("2d").clearRect(0, 0, overlay.width, overlay.height);
  document.querySelectorAll("button[aria-pressed=true]").forEach((each) => each.setAttribute("aria-pressed", "false"));
  looking.textContent = told;
}

// Draws numbers of h rows and w columns over the left half, which shows the video.
function drawOverlay(values, h, w) {
  const box = video.getBoundingClientRect();
  overlay.width = Math.round(box.width * data.frameShare);
  overlay.height = Math.round(box.height);
  const context = overlay.getContext("2d");
  const top = Math.max(...values) || 1;
  for (let i = 0; i < h; i++) {
    for (let j = 0; j < w; j++) {
      const share = values[i * w + j] / top;
      context.fillStyle = `rgba(${colour(share).join(",")},${0.25 + 0.4 * share})`;
      const [x, y] = [Math.round((j * overlay.width) / w), Math.round((i * overlay.height) / h)];
      context.fillRect(x, y, Math.round(((j + 1) * overlay.width) / w) - x, Math.round(((i + 1) * overlay.height) / h) - y);
    }
  }
}

function lookAt(sentence, number, button) {
  video.pause();
  clearOverlay();
  button.setAttribute("aria-pressed", "true");
  const { frames, positions, height, width } = sentence.attention;
  const weights = frames[number];
  const at = largest(weights);
  const seen = positions[0].map((_, place) =>
    weights.reduce((sum, weight, t) => sum + weight * positions[t][place], 0));
  const total = seen.reduce((sum, value) => sum + value, 0) || 1;
  const [sharpest, mean] = [(Math.max(...seen) * seen.length) / total, weights.reduce((a, b) => a + b, 0) / weights.length];
  video.currentTime = (sentence.first + at + 0.1) / data.rate;
  drawOverlay(seen, height, width);
  looking.textContent = `“${sentence.words[number]}” looks most at ${clock(data.times[sentence.first + at])} ` +
    `(${(weights[at] / (mean || 1)).toFixed(1)} times as much as at all frames alike), and there at the bright places ` +
    `(at most ${sharpest.toFixed(1)} times as much as everywhere alike).`;
}

function lane(parent, name, values, top, note) {
  element("span", parent, name);
  const canvas = element("canvas", parent, "", { width: values.length, height: 1, role: "img", "aria-label": `${name}: ${note}` });
  const context = canvas.getContext("2d");
  values.forEach((value, t) => {
    context.fillStyle = `rgb(${colour(top ? value / top : 0).join(",")})`;
    context.fillRect(t, 0, 1, 1);
  });
  element("span", parent, note);
}

function showSentence(sentence) {
  const article = element("article", document.getElementById("sentences"));
  element("h2", article, `${clock(sentence.start)} – ${clock(sentence.end)}`);
  const words = element("ul", article, "", { class: "words", "aria-label": "The translation, word by word" });
  sentence.buttons = sentence.words.map((word, number) => {
    const button = element("button", element("li", words), word, { type: "button", "aria-pressed": "false" });
    if (!sentence.attention) return button;
    const look = () => lookAt(sentence, number, button);
    for (const event of ["pointerenter", "focus", "click"]) button.addEventListener(event, look);
    return button;
  });
  const strip = element("div", article, "", { class: "strip", tabindex: "0", role: "group", "aria-label": "Frames and their flow" });
  for (const still of sentence.stills) {
    const figure = element("figure", strip);
    element("img", figure, "", { src: still.picture, alt: "" });
    element("figcaption", figure, clock(still.seconds));
  }
  const at = (values) => `most at ${clock(data.times[sentence.first + largest(values)])}`;
  if (sentence.attention) {
    element("h3", article, "When the model looks, for each word");
    const lanes = element("div", article, "", { class: "lanes" });
    sentence.words.forEach((word, i) => {
      const values = sentence.attention.frames[i];
      lane(lanes, word, values, Math.max(...values), at(values));
    });
    for (const line of sentence.attention.notes) element("p", article, line);
  } else {
    element("p", article, "This model has no 2-D attention, so there is no picture of where it looks.");
  }
  if (sentence.glosses.length) {
    element("h3", article, "Glosses: how probable at which frame (CTC)");
    element("p", article, `Recognised: ${sentence.glossLine}`);
    const lanes = element("div", article, "", { class: "lanes" });
    sentence.glosses.forEach(({ name, probabilities }) => {
      const best = Math.round(100 * Math.max(...probabilities));
      lane(lanes, name, probabilities, 1, `${best} %, ${at(probabilities)}`);
    });
  }
  element("h3", article, "Best sentences of the search");
  const table = element("table", article);
  const head = element("tr", table);
  for (const name of ["score", "sentence"]) element("th", head, name, { scope: "col" });
  for (const [text, score] of sentence.candidates) {
    const row = element("tr", table);
    element("td", row, score.toFixed(3));
    element("td", row, text);
  }
}

function follow() {
  const frame = Math.min(Math.floor(video.currentTime * data.rate + 0.01), data.times.length - 1);
  const now = data.times[frame];
  const current = data.sentences.find((each) => now >= each.start && now < each.end);
  const text = current ? current.text : "";
  if (caption.textContent !== text) caption.textContent = text;
  for (const sentence of data.sentences) {
    const t = frame - sentence.first;
    sentence.buttons.forEach((button, i) => {
      const weights = sentence.attention && sentence.attention.frames[i];
      button.classList.toggle("now", Boolean(weights) && sentence === current && weights[t] > 0.5 * Math.max(...weights));
    });
  }
}

for (const [name, value] of data.facts) {
  const pair = element("div", document.getElementById("facts"));
  element("dt", pair, name);
  element("dd", pair, value);
}
data.sentences.forEach(showSentence);
if (!data.sentences.length) element("p", document.getElementById("sentences"), "No sentence was found.");
video.src = data.video;
video.addEventListener("play", clearOverlay);
for (const event of ["timeupdate", "seeked", "loadeddata"]) video.addEventListener(event, follow);
window.addEventListener("resize", clearOverlay);
document.documentElement.dataset.ready = "true";
