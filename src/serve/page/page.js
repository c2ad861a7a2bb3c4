"use strict";

const $ = (id) => document.getElementById(id);
const LOOK_MS = 1000, SAMPLES = 120;  // of the load panel
const ORIGINS = ["accepted", "bonus", "corrected", "plain"];

const messages = [];  // of the chat, as the API has them
let running = null;   // the AbortController of the answer under way

// ---- The API ----

function headers() {
  const key = sessionStorage.getItem("dspark-key");
  return { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
}

async function faultOf(reply) {
  if (reply.status === 401) askForKey();
  try {
    return (await reply.json()).error.message;
  } catch {
    return `the server answered ${reply.status}`;
  }
}

// Calls `got` with the data of every event of the stream.
async function readEvents(reply, got) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const data = event.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6)).join("\n");
      if (data && data !== "[DONE]") got(JSON.parse(data));
    }
  }
}

function numberIn(id) {
  const value = $(id).valueAsNumber;
  return Number.isFinite(value) ? value : undefined;
}

function requestBody() {
  const system = $("system").value.trim();
  const slots = Number($("draft-max").max), most = Number($("draft-max").value);
  return {
    messages: system ? [{ role: "system", content: system }, ...messages] : messages,
    temperature: numberIn("temperature"),
    top_p: numberIn("top-p"),
    seed: numberIn("seed"),
    max_tokens: numberIn("max-tokens"),
    stream: true,
    stream_options: { include_usage: true },
    speculation: {
      origins: true,
      off: !$("speculate").checked,
      planner: $("request-planner").value,
      ...(most < slots ? { draft_max: most } : {}),
    },
  };
}

// ---- The chat ----

function addTurn(role) {
  $("welcome").hidden = true;
  const turn = document.createElement("article");
  turn.className = `turn ${role}`;
  const who = document.createElement("p");
  who.className = "who";
  who.textContent = role === "user" ? "You" : "Model";
  const text = document.createElement("div");
  text.className = "text";
  const figures = document.createElement("p");
  figures.className = "figures";
  turn.append(who, text, ...(role === "user" ? [] : [figures]));
  $("log").append(turn);
  return { turn, text, figures };
}

// The view follows the text unless its reader has scrolled up.
function following(change) {
  const log = $("log");
  const scrolls = log.scrollHeight > log.clientHeight ? log : document.scrollingElement;
  const atEnd = scrolls.scrollHeight - scrolls.scrollTop - scrolls.clientHeight < 80;
  change();
  if (atEnd) scrolls.scrollTop = scrolls.scrollHeight;
}

function showPieces(place, pieces) {
  for (const { text, origin } of pieces) {
    const shade = ORIGINS.includes(origin) ? origin : "plain";
    const last = place.lastElementChild;
    // Tokens of the model's own stand apart, drafts that stood together are one run.
    if (last && last.className === shade && shade !== "bonus" && shade !== "corrected") {
      last.textContent += text;
    } else {
      const span = document.createElement("span");
      span.className = shade;
      span.title = shade;
      span.textContent = text;
      place.append(span);
    }
  }
}

function figuresOf(count, usage) {
  const seconds = (count.last - count.first) / 1000;
  const parts = [`${count.tokens} tokens`];
  if (count.steps > 1 && seconds > 0)
    parts.unshift(`${((count.tokens - count.firstTokens) / seconds).toFixed(1)} tokens/s`);
  if (usage && usage.speculation.cycles > 0) {
    const { cycles, verified, accepted } = usage.speculation;
    parts.push(`τ ${(1 + accepted / cycles).toFixed(2)}`, `${accepted} of ${verified} verified drafts stood`);
  } else if (count.steps > 1) {
    parts.push(`τ ${((count.tokens - count.firstTokens) / (count.steps - 1)).toFixed(2)}`);
  }
  return parts.join(" · ");
}

async function answer() {
  const { turn, text, figures } = addTurn("assistant");
  const count = { tokens: 0, steps: 0, firstTokens: 0, first: 0, last: 0 };
  let usage = null, whole = "", fault = "";
  turn.classList.add("busy");
  running = new AbortController();
  setBusy(true);
  try {
    const reply = await fetch("v1/chat/completions",
      { method: "POST", headers: headers(), body: JSON.stringify(requestBody()), signal: running.signal });
    if (!reply.ok) throw new Error(await faultOf(reply));
    await readEvents(reply, (event) => following(() => {
      if (event.error) throw new Error(event.error.message);
      usage = event.usage ?? usage;
      const choice = event.choices[0];
      if (choice?.speculation) {
        whole += choice.delta.content;
        showPieces(text, choice.speculation.pieces);
        count.last = performance.now();
        if (count.steps++ === 0) [count.first, count.firstTokens] = [count.last, choice.speculation.tokens];
        count.tokens += choice.speculation.tokens;
      }
      figures.textContent = figuresOf(count, usage);
    }));
  } catch (error) {
    fault = error.name === "AbortError" ? "stopped" : error.message;
  }
  turn.classList.remove("busy");
  if (fault) {
    const shown = document.createElement("span");
    shown.className = fault === "stopped" ? "" : "fault";
    shown.textContent = (figures.textContent ? " · " : "") + fault;
    figures.append(shown);
  }
  if (whole) messages.push({ role: "assistant", content: whole });
  else messages.pop();  // a question that got no answer is no part of the chat
  $("said").textContent = fault ? `The answer ended: ${fault}` : `Answer complete: ${whole}`;
  running = null;
  setBusy(false);
}

function setBusy(busy) {
  $("log").setAttribute("aria-busy", busy);
  $("stop").hidden = !busy;
  $("send").disabled = busy;
  $("clear").disabled = busy;
  $("said").textContent = busy ? "The model is answering" : $("said").textContent;
  if (!busy && document.activeElement === document.body) $("prompt").focus();
}

function send(text) {
  if (running || !text.trim()) return;
  messages.push({ role: "user", content: text });
  following(() => { addTurn("user").text.textContent = text; });
  $("prompt").value = "";
  $("prompt").focus({ preventScroll: true });
  answer();
}

function clearChat() {
  messages.length = 0;
  for (const turn of document.querySelectorAll(".turn")) turn.remove();
  $("welcome").hidden = false;
  $("said").textContent = "New chat";
  $("prompt").focus();
}

function askForKey() {
  $("key-field").hidden = false;
  $("settings").open = true;
  setHealth("bad", "needs an API key");
}

// ---- The load panel ----

const series = { speed: [], running: [], waiting: [], verified: [], accepted: [] };
let before = null;  // the state last seen

function setHealth(kind, text) {
  $("health").className = `health ${kind}`;
  if ($("health-text").textContent !== text) $("health-text").textContent = text;
}

function showState(state) {
  setHealth("ok", "ready");
  $("model").textContent = `${state.model} · drafter ${state.drafter.split("/").at(-1)}`;
  const slider = $("draft-max");
  if (Number(slider.max) !== Math.max(1, state.draft_slots)) {
    slider.max = Math.max(1, state.draft_slots);
    slider.value = slider.max;
    $("speculate").checked = state.draft_slots > 0;
    showDraftMax();
  }
  $("speculate").disabled = state.draft_slots === 0;
  const { pages, free } = state.cache;
  $("running").textContent = state.running;
  $("waiting").textContent = state.waiting;
  $("pages").textContent = `${pages - free} of ${pages}`;
  $("pages-meter").max = Math.max(1, pages);
  $("pages-meter").value = pages - free;
  $("planner").textContent = `planner ${state.planner}, verification ${state.verify || "none"}, context ${state.context}`;
  if (before) {
    const seconds = Math.max(.001, state.uptime_s - before.uptime_s);
    const rate = (name) => Math.max(0, state[name] - before[name]) / seconds;
    const add = (name, value) => {
      series[name].push(value);
      if (series[name].length > SAMPLES) series[name].shift();
    };
    add("speed", rate("tokens"));
    add("running", state.running);
    add("waiting", state.waiting);
    add("verified", rate("verified"));
    add("accepted", rate("accepted"));
    $("speed").textContent = series.speed.at(-1).toFixed(0);
    // Every token beyond the accepted ones ended a cycle, or was a request's first.
    const tokens = state.tokens - before.tokens, accepted = state.accepted - before.accepted;
    if (tokens > accepted) $("tau").textContent = (tokens / (tokens - accepted)).toFixed(2);
    drawPlot($("plot-speed"), [series.speed], SAMPLES);
    drawPlot($("plot-requests"), [series.running, series.waiting], SAMPLES);
    drawPlot($("plot-drafts"), [series.verified, series.accepted], SAMPLES);
  }
  before = state;
}

async function look() {
  try {
    if (!document.hidden) {
      const reply = await fetch("v1/dspark/state", { headers: headers() });
      if (reply.ok) showState(await reply.json());
      else if (reply.status === 401) askForKey();
      else setHealth("bad", await faultOf(reply));
    }
  } catch {
    setHealth("bad", "no connection");
  }
  setTimeout(look, LOOK_MS);
}

// ---- What the reader does ----

function showDraftMax() {
  const { value, max } = $("draft-max");
  $("draft-max-value").textContent = value === max ? `${max} (all)` : value;
  $("draft-max").disabled = !$("speculate").checked || max === "1";
  $("request-planner").disabled = !$("speculate").checked;
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  send($("prompt").value);
});
$("prompt").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send($("prompt").value);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") running?.abort();
});
$("stop").addEventListener("click", () => running?.abort());
$("clear").addEventListener("click", clearChat);
$("speculate").addEventListener("change", showDraftMax);
$("draft-max").addEventListener("input", showDraftMax);
$("key").addEventListener("change", () => sessionStorage.setItem("dspark-key", $("key").value.trim()));
for (const example of document.querySelectorAll(".example"))
  example.addEventListener("click", () => send(example.textContent));

// On a phone the panels begin closed, below the chat.
if (matchMedia("(max-width: 56rem)").matches) for (const panel of document.querySelectorAll(".panel")) panel.open = false;
$("prompt").focus({ preventScroll: true });
look();
