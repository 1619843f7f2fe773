"use strict";
// The page's socket lives in this worker, so that its reading can be stalled
// while the page itself stays alive.

const BATCH_EVERY = 50; // ms between two batches for the page

let socket = null;
let clock = 0; // performance.now() + clock: milliseconds since 1970
let items = [];
let table = null;
let timer = 0;

// Date.now() has whole milliseconds: look where one begins, a few times, for
// it can be seen late, but never early.
function setClock() {
  clock = -Infinity;
  for (let times = 0; times < 4; times += 1) {
    const before = Date.now();
    while (Date.now() === before);
    clock = Math.max(clock, Date.now() - performance.now());
  }
}

function decode(data) {
  if (typeof data !== "string") return { binary: data.byteLength };
  try {
    const value = JSON.parse(data);
    if (value && typeof value.type === "string") return value;
  } catch {
    // Not ours: any text is welcome.
  }
  return { text: data };
}

// A flood counts as one line, however many messages it is.
function addFlood(message, latency) {
  const last = items[items.length - 1];
  if (last && last.kind === "flood") {
    last.count += 1;
    last.characters += message.text.length;
    last.latency = latency;
  } else {
    const characters = message.text.length;
    items.push({ ...message, text: "", count: 1, characters, latency });
  }
}

function receive(event) {
  const at = performance.now() + clock;
  const message = decode(event.data);
  if (message.type === "table") {
    table = message;
  } else {
    const sent = message.type === "message" ? message.sent : undefined;
    const latency = sent === undefined ? null : at - sent;
    if (message.kind === "flood") addFlood(message, latency);
    else items.push({ ...message, at, latency });
  }
  timer ||= setTimeout(flush, BATCH_EVERY);
}

function flush() {
  clearTimeout(timer);
  timer = 0;
  if (items.length || table) postMessage({ is: "batch", items, table });
  items = [];
  table = null;
}

function open(url) {
  close();
  setClock();
  const mine = new WebSocket(url);
  mine.binaryType = "arraybuffer";
  mine.onopen = () => postMessage({ is: "open" });
  mine.onmessage = receive;
  mine.onclose = (event) => {
    if (socket !== mine) return; // the next one has taken its place
    socket = null;
    flush();
    postMessage({ is: "closed", code: event.code, reason: event.reason });
  };
  socket = mine;
}

function close() {
  socket?.close(1000, "bye");
}

// Reads nothing for a while, the way a page with a busy script reads nothing.
function stall(milliseconds) {
  flush();
  postMessage({ is: "stalled" });
  const end = performance.now() + milliseconds;
  while (performance.now() < end);
  postMessage({ is: "resumed" });
}

onmessage = ({ data }) => {
  if (data.do === "open") open(data.url);
  else if (data.do === "close") close();
  else if (data.do === "stall") stall(data.milliseconds);
  else if (socket?.readyState === WebSocket.OPEN) socket.send(data.text);
};
