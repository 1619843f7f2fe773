"use strict";
// What the page shows. Every text from outside goes through textContent.

const MAX_LINES = 150;
const byId = (id) => document.getElementById(id);

function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

const whole = new Intl.NumberFormat("en");

function bytes(n) {
  if (n < 1000) return `${n} B`;
  if (n < 999_500) return `${(n / 1000).toPrecision(3)} kB`;
  return `${(n / 1e6).toPrecision(3)} MB`;
}

// Milliseconds, as a person reads them.
function duration(ms) {
  if (ms < 0.1) return "< 0.1 ms";
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${ms.toFixed(0)} ms`;
  return `${(ms / 1000).toFixed(1)} s`;
}

// ---- The state of the connection

function showStatus(state, text) {
  const pill = byId("status");
  pill.dataset.state = state;
  if (pill.textContent !== text) pill.textContent = text;
  for (const element of document.querySelectorAll("[data-connected]")) {
    element.disabled = state !== "open" && state !== "stalled";
  }
  byId("connect").textContent = state === "closed" ? "Reconnect" : "Disconnect";
}

function showId(id) {
  byId("my-id").textContent = id;
  if (!byId("me").hidden) document.title = `${id} · wssend`;
}

// ---- The numbers on top

const latencies = [];
const arrivals = []; // when, of the last five seconds
let received = 0;

function countMessages(n, latency) {
  received += n;
  arrivals.push({ at: performance.now(), n });
  if (latency === null || latency === undefined) return;
  latencies.push(Math.max(0, latency));
  if (latencies.length > 60) latencies.shift();
}

function showNumbers() {
  const now = performance.now();
  while (arrivals.length && arrivals[0].at < now - 5000) arrivals.shift();
  const rate = arrivals.reduce((sum, { n }) => sum + n, 0) / 5;
  byId("received").textContent = whole.format(received);
  byId("rate").textContent = rate < 10 ? rate.toFixed(1) : whole.format(Math.round(rate));
  if (latencies.length === 0) return;
  const sorted = [...latencies].sort((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)];
  byId("latency").textContent = duration(median);
  byId("latency-note").textContent = median > 3_600_000 ? "the clocks differ" : "median";
  drawSpark();
}

function drawSpark() {
  const top = Math.max(1, ...latencies);
  const step = 160 / Math.max(1, latencies.length - 1);
  const points = latencies.map((ms, i) =>
    `${(i * step).toFixed(1)} ${(45 - 40 * (ms / top)).toFixed(1)}`);
  if (points.length < 2) return;
  const line = `M${points.join("L")}`;
  byId("spark-line").setAttribute("d", line);
  byId("spark-area").setAttribute("d", `${line}L160 48L0 48Z`);
}

// ---- The table of clients

const COLUMNS = [
  ["bytes", "Bytes", bytes],
  ["age", "Oldest", (ms) => (ms > 0 ? duration(ms) : "–")],
  ["accepted", "Accepted", (n) => whole.format(n)],
  ["written", "Written", (n) => whole.format(n)],
  ["full", "Full", (n) => whole.format(n)],
  ["rtt", "RTT", (ms) => (ms === null ? "–" : duration(ms))],
];
const rows = new Map(); // id -> the elements of its line

function makeRow(id, onPick) {
  const line = make("tr");
  const name = make("td", "client");
  const box = make("div");
  const button = make("button", "", id);
  button.type = "button";
  button.title = `Address a message to ${id}`;
  button.addEventListener("click", () => onPick(id));
  box.append(button);
  name.append(box);
  const queue = make("td", "queue");
  const gauge = make("div");
  const count = make("span");
  const bar = make("div", "bar");
  const fill = make("i");
  bar.append(fill);
  gauge.append(count, bar);
  queue.append(gauge);
  line.append(name, queue);
  const cells = {};
  for (const [key, label] of COLUMNS) {
    cells[key] = make("td", "n");
    cells[key].dataset.label = label;
    line.append(cells[key]);
  }
  return { line, box, count, fill, cells, tag: null };
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function showTag(parts, text) {
  if (text && !parts.tag) parts.box.append((parts.tag = make("span", "tag")));
  if (!text && parts.tag) {
    parts.tag.remove();
    parts.tag = null;
  }
  if (text) setText(parts.tag, text);
}

// `tags`: what to call the clients that belong to this page.
function showTable(table, limits, tags, onPick) {
  const body = byId("clients").tBodies[0];
  const seen = new Set();
  table.rows.forEach((client, i) => {
    seen.add(client.id);
    if (!rows.has(client.id)) rows.set(client.id, makeRow(client.id, onPick));
    const parts = rows.get(client.id);
    const use = Math.max(client.queued / limits.messages, client.bytes / limits.bytes);
    parts.line.classList.toggle("crowded", use > 0.9);
    setText(parts.count, whole.format(client.queued));
    parts.fill.style.width = `${Math.min(100, 100 * use).toFixed(0)}%`;
    for (const [key, , format] of COLUMNS) setText(parts.cells[key], format(client[key]));
    parts.cells.full.classList.toggle("bad", client.full > 0);
    showTag(parts, tags.get(client.id));
    if (body.children[i] !== parts.line) body.insertBefore(parts.line, body.children[i]);
  });
  for (const [id, parts] of rows) {
    if (seen.has(id)) continue;
    parts.line.remove();
    rows.delete(id);
  }
  setText(byId("client-count"), whole.format(table.clients));
  setText(byId("full-count"), whole.format(table.full));
  byId("full-count").classList.toggle("bad", table.full > 0);
  const left = table.clients - table.rows.length;
  byId("more").hidden = left <= 0;
  setText(byId("more"), `and ${whole.format(left)} more`);
}

function forgetTable() {
  for (const { line } of rows.values()) line.remove();
  rows.clear();
  byId("client-count").textContent = "–";
}

// ---- The log

function clockTime(at) {
  return new Date(at).toLocaleTimeString("en-GB");
}

function addLine({ kind, label, text, from, latency, at }) {
  const line = make("li", "fresh");
  line.dataset.kind = kind;
  const badge = make("span", "kind", label);
  badge.dataset.kind = kind;
  badge.title = label;
  const what = make("span", "what", text);
  if (from) what.append(make("span", "from", from));
  const took = latency === null || latency === undefined ? "" : duration(Math.max(0, latency));
  line.append(make("time", "", clockTime(at)), badge, what, make("span", "took", took));
  byId("log").prepend(line);
  byId("empty").hidden = true;
  while (byId("log").children.length > MAX_LINES) byId("log").lastChild.remove();
}

function showMessage(item) {
  countMessages(item.count ?? 1, item.latency);
  const at = item.at ?? Date.now();
  if (item.binary !== undefined) {
    addLine({ kind: "binary", label: "binary", text: bytes(item.binary), at });
  } else if (item.kind === "flood") {
    const text = `${whole.format(item.count)} messages, ${bytes(item.characters)}`;
    addLine({ ...item, label: "flood", text, from: `from ${item.from}`, at });
  } else {
    const tick = item.topic === "ticks" && item.from === "server";
    const labels = { topic: item.topic, direct: "to you", everyone: "everyone" };
    addLine({
      kind: tick ? "tick" : item.kind ?? "text",
      label: labels[item.kind] ?? "text",
      text: item.text ?? "",
      from: item.from && !tick ? `from ${item.from}` : "",
      latency: item.latency,
      at,
    });
  }
}

// What happens to this page itself.
function note(label, text, kind = "page") {
  addLine({ kind, label, text, at: Date.now() });
}

// ---- What the hub answered

function showAnswer(place, asked, answer) {
  place.hidden = false;
  if (answer.error) {
    place.replaceChildren(make("p", "asked", asked), make("p", "error", answer.error));
    return;
  }
  const list = make("dl");
  for (const [name, n, mood] of [
    ["queued", answer.queued, "good"],
    ["full", answer.refused ?? answer.full.length, "bad"],
    ["closed", answer.closed, "bad"],
  ]) {
    const pair = make("div", n > 0 ? mood : "");
    pair.append(make("dt", "", name), make("dd", "", whole.format(n)));
    list.append(pair);
  }
  place.replaceChildren(make("p", "asked", asked), list);
  if (answer.full.length) {
    place.append(make("p", "names", `ChannelFull: ${answer.full.join(", ")}`));
  }
}

// ---- Topics

function showTopics(known, mine, onToggle) {
  const chips = byId("topics");
  const focused = chips.contains(document.activeElement)
    ? document.activeElement.textContent : null;
  chips.replaceChildren(...known.map((topic) => {
    const chip = make("button", "", topic);
    chip.type = "button";
    chip.setAttribute("aria-pressed", String(mine.has(topic)));
    chip.addEventListener("click", () => onToggle(topic, !mine.has(topic)));
    return chip;
  }));
  for (const chip of chips.children) if (chip.textContent === focused) chip.focus();
}
