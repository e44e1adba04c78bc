"use strict";
const at = (id) => document.getElementById(id);
const [status, caption] = [at("status"), at("caption")];
let sentences = [];
let links = [];
let running = null; // what ends the request that goes on

function say(text, isError = false) {
  status.textContent = text;
  status.classList.toggle("error", isError);
}

const clock = (seconds) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;

function stamp(seconds, point) {
  const all = Math.round(1000 * seconds);
  const part = (value, size) => String(value).padStart(size, "0");
  const [h, m, s] = [Math.floor(all / 3600000), Math.floor(all / 60000) % 60, Math.floor(all / 1000) % 60];
  return `${part(h, 2)}:${part(m, 2)}:${part(s, 2)}${point}${part(all % 1000, 3)}`;
}

function subtitles(kind) {
  const [head, point] = kind === "vtt" ? ["WEBVTT\n\n", "."] : ["", ","];
  const escaped = (text) =>
    kind === "vtt" ? text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;") : text;
  return head + sentences
    .filter((each) => each.text.trim())
    .map((each, i) => `${i + 1}\n${stamp(each.start, point)} --> ${stamp(each.end, point)}\n${escaped(each.text)}\n\n`)
    .join("");
}

function offer(id, content, type) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  links.push(url);
  at(id).href = url;
}

function clear() {
  links.forEach((url) => URL.revokeObjectURL(url));
  [sentences, links] = [[], []];
  at("sentences").replaceChildren();
  caption.textContent = "";
  at("results").hidden = at("frame").hidden = at("flow").hidden = true;
}

const handlers = {
  waiting: ({ before }) => say(`Waiting: ${before} before you.`),
  started: () => say("Translating …"),
  picture({ seconds, frame, flow }) {
    for (const [id, source, name] of [["frame", frame, "Frame"], ["flow", flow, "What the network sees"]]) {
      at(id).src = source;
      at(id).alt = `${name} at ${clock(seconds)}`;
      at(id).hidden = false;
    }
  },
  partial({ text }) {
    caption.textContent = `${text} …`;
    caption.classList.add("partial");
  },
  sentence(sentence) {
    caption.textContent = sentence.text;
    caption.classList.remove("partial");
    sentences.push(sentence);
    const item = document.createElement("li");
    const time = document.createElement("span");
    time.className = "time";
    time.textContent = `${clock(sentence.start)} – ${clock(sentence.end)} `;
    item.append(time, sentence.text || "(nothing)");
    at("sentences").append(item);
  },
  done({ seconds, wall_seconds: wall, report }) {
    const speed = `${seconds.toFixed(1)} s of video in ${wall.toFixed(1)} s`;
    const number = `${sentences.length} sentence${sentences.length === 1 ? "" : "s"}`;
    say(sentences.length ? `Done: ${number}, ${speed}.` : `Found no sentence: nothing moves between two rests. ${speed}.`);
    offer("vtt", subtitles("vtt"), "text/vtt");
    offer("srt", subtitles("srt"), "application/x-subrip");
    offer("report", report, "text/html");
    at("report").hidden = !report;
    at("results").hidden = false;
  },
  failed: ({ error }) => say(error, true),
};

async function* linesOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    yield* lines;
  }
}

async function translate(file, name) {
  if (running) running.abort();
  const own = (running = new AbortController());
  clear();
  say("Sending …");
  const headers = { "X-File-Name": encodeURIComponent(name) };
  if (at("token").value) headers.Authorization = `Bearer ${at("token").value}`;
  let ended = false;
  try {
    const response = await fetch("translate", { method: "POST", body: file, headers, signal: own.signal });
    if (!response.ok) {
      at("token-line").hidden = at("token-line").hidden && response.status !== 401;
      const answer = await response.json().catch(() => ({ error: response.statusText }));
      return say(answer.error, true);
    }
    for await (const line of linesOf(response)) {
      const event = JSON.parse(line);
      ended = event.event === "done" || event.event === "failed";
      handlers[event.event](event);
    }
    if (!ended) say("The server stopped in the middle; the translation is not complete.", true);
  } catch (error) {
    if (!own.signal.aborted) say(`The server cannot be reached (${error.message}).`, true);
  }
}

function give(files) {
  if (files.length > 1) say(`Found ${files.length} files; expected one.`, true);
  else if (files.length) translate(files[0], files[0].name);
}

at("file").addEventListener("change", (event) => give(event.target.files));
for (const [name, isOver] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  at("drop").addEventListener(name, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", isOver);
    if (name === "drop") give(event.dataTransfer.files);
  });
}

at("record").addEventListener("click", async () => {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: true, audio: false });
  } catch (error) {
    return say(`There is no camera, or it may not be used (${error.name}).`, true);
  }
  const [camera, pieces, recorder] = [at("camera"), [], new MediaRecorder(stream)];
  camera.srcObject = stream;
  camera.hidden = false;
  camera.play();
  say("Recording. Press Stop at the end.");
  at("record").setAttribute("aria-pressed", "true");
  at("record").disabled = true;
  at("stop").disabled = false;
  at("stop").focus();
  recorder.addEventListener("dataavailable", (event) => pieces.push(event.data));
  recorder.addEventListener("stop", () => {
    stream.getTracks().forEach((track) => track.stop());
    camera.hidden = true;
    at("record").setAttribute("aria-pressed", "false");
    at("record").disabled = false;
    at("stop").disabled = true;
    translate(new Blob(pieces, { type: recorder.mimeType }), "recording");
  });
  at("stop").addEventListener("click", () => recorder.stop(), { once: true });
  recorder.start();
});
