"use strict";

const STALL_FOR = 10_000; // ms
const RETRY = [300, 600, 1200, 2500, 5000, 8000]; // ms before each new attempt

const given = settings.idQuery && new URL(location.href).searchParams.get(settings.idQuery);
const state = {
  id: given || sessionStorage.getItem("wssend-id") || newId(),
  status: "closed", // connecting, open, stalled, closed
  wanted: true, // connected, as far as the person is concerned
  attempts: 0, // without success
  retry: 0, // the timer
  topics: new Set(["ticks"]),
  known: ["ticks", "news", "prices"],
  limits: { messages: 256, bytes: 1 << 20 },
  observer: null, // a second connection, while the first is stalled
};

function setStatus(status, text = status) {
  state.status = status;
  showStatus(status, text);
}

// ---- Connecting

const main = new Connection({ open: opened, closed, batch, stalled, resumed });

function connect() {
  clearTimeout(state.retry);
  if (state.status !== "connecting") setStatus("connecting");
  showId(state.id);
  main.open(state.id);
}

function opened() {
  state.attempts = 0;
  setStatus("open", "connected");
  sessionStorage.setItem("wssend-id", state.id);
  if (!settings.demo) return;
  main.send({ do: "watch" });
  for (const topic of state.topics) main.send({ do: "subscribe", topic });
  if (!state.topics.has("ticks")) main.send({ do: "unsubscribe", topic: "ticks" });
}

function closed({ code, reason }) {
  forgetTable();
  if (state.status !== "connecting") {
    note("closed", `the connection ended with ${code}${reason ? `: ${reason}` : ""}`);
    retry("reconnecting");
    return;
  }
  // A page cannot see why a handshake failed. Most likely the id is taken: by
  // this page before it was reloaded, or by the tab that it is a copy of.
  fetch(location.pathname, { method: "HEAD", cache: "no-store" }).then(
    () => {
      if (!given && state.attempts > 0) state.id = newId();
      retry(given ? "refused: is the id in use?" : "reconnecting");
    },
    () => retry("waiting for the server"),
  );
}

function retry(text) {
  if (!state.wanted) {
    setStatus("closed", "disconnected");
    return;
  }
  setStatus("connecting", text);
  clearTimeout(state.retry);
  state.retry = setTimeout(connect, RETRY[Math.min(state.attempts, RETRY.length - 1)]);
  state.attempts += 1;
}

byId("connect").addEventListener("click", () => {
  state.wanted = state.status === "closed";
  if (state.wanted) {
    connect();
    return;
  }
  clearTimeout(state.retry);
  endObserver();
  main.close();
  if (state.status === "connecting") setStatus("closed", "disconnected");
});

// ---- What arrives

function batch({ items, table }, of = main) {
  if (table) showTable(table, state.limits, ourClients(), address);
  for (const item of items) {
    if (item.type === "hello") hello(item, of);
    else if (item.type === "answer") answered(item);
    else if (item.type === "topics") topicsAre(item, of);
    else if (of === main) showMessage(item);
  }
}

function hello({ id, limits }, of) {
  state.limits = limits;
  if (of !== main) return;
  state.id = id;
  showId(id);
}

function ourClients() {
  const tags = new Map([[state.id, "this tab"]]);
  if (state.observer) tags.set(state.observer.id, "observer");
  return tags;
}

// Commands go over the observer while the worker of the main one is stalled.
function send(command) {
  (state.observer?.connection ?? main).send(command);
}

// ---- Sending

const form = byId("send");
const target = () => form.elements.do.value;
const lastTo = { send: "", publish: "news" };

function showTarget() {
  const kind = target();
  byId("to-row").hidden = kind === "broadcast";
  if (kind === "broadcast") return;
  byId("to-label").textContent = kind === "send" ? "Client" : "Topic";
  byId("to").value = lastTo[kind];
  fillSuggestions();
}

function fillSuggestions() {
  const names = target() === "send" ? [...rows.keys()] : state.known;
  byId("to-list").replaceChildren(...names.map((name) => {
    const option = make("option");
    option.value = name;
    return option;
  }));
}

function address(id) {
  form.elements.do.value = "send";
  lastTo.send = id;
  showTarget();
  byId("text").focus();
}

for (const radio of form.elements.do) radio.addEventListener("change", showTarget);
byId("to").addEventListener("focus", fillSuggestions);
byId("to").addEventListener("input", () => { lastTo[target()] = byId("to").value; });
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const kind = target();
  const text = byId("text").value || byId("text").placeholder;
  const to = byId("to").value.trim();
  if (kind === "send") send({ do: kind, to, text });
  else if (kind === "publish") send({ do: kind, topic: to, text });
  else send({ do: kind, text });
  byId("text").value = "";
});

function answered(answer) {
  const to = answer.to ?? "";
  if (answer.do === "flood") {
    const verb = answer.running ? "Flooding" : "Flooded";
    showAnswer(byId("flood-answer"), answer.error ? "Flood" : `${verb} ${to}`, answer);
  } else {
    const names = { send: `To client ${to}`, publish: `To topic ${to}`, broadcast: "To everyone" };
    showAnswer(byId("answer"), names[answer.do] ?? answer.do, answer);
  }
}

// ---- Topics

function topicsAre({ topics }, of) {
  if (of !== main) return;
  state.topics = new Set(topics);
  for (const topic of topics) if (!state.known.includes(topic)) state.known.push(topic);
  showTopics(state.known, state.topics, toggleTopic);
}

function toggleTopic(topic, on) {
  main.send({ do: on ? "subscribe" : "unsubscribe", topic });
}

byId("add-topic").addEventListener("submit", (event) => {
  event.preventDefault();
  const topic = byId("new-topic").value.trim();
  if (topic) toggleTopic(topic, true);
  byId("new-topic").value = "";
});

// ---- Being slow

let stallEnds = 0;

byId("stall").addEventListener("click", () => {
  const id = `${state.id}-observer`;
  const connection = new Connection({
    open: () => {
      connection.send({ do: "watch" });
      main.stall(STALL_FOR);
    },
    batch: (data) => batch(data, connection),
    closed: () => {
      endObserver();
      if (!stallEnds) main.stall(STALL_FOR);
    },
  });
  state.observer = { id, connection };
  byId("stall").disabled = true;
  connection.open(id);
});

byId("flood").addEventListener("click", () => send({ do: "flood", to: state.id }));

function stalled() {
  stallEnds = performance.now() + STALL_FOR;
  setStatus("stalled", "not reading");
  note("stalled", "this tab has stopped reading");
  byId("stall").disabled = byId("connect").disabled = true;
  byId("countdown").hidden = false;
}

function resumed() {
  stallEnds = 0;
  note("reading", "this tab reads again; what had to wait comes now", "back");
  byId("connect").disabled = false;
  byId("countdown").hidden = true;
  endObserver();
  if (state.status === "stalled") setStatus("open", "connected");
}

function endObserver() {
  state.observer?.connection.end();
  state.observer = null;
}

function showCountdown() {
  const left = Math.max(0, stallEnds - performance.now());
  if (stallEnds) byId("countdown-bar").style.width = `${(100 * left) / STALL_FOR}%`;
}

// ---- The start

for (const element of document.querySelectorAll("[data-demo]")) {
  element.hidden = !settings.demo;
}
byId("me").hidden = !settings.demo && !settings.idQuery; // only the hub knows
byId("hide-ticks").closest("label").hidden = !settings.demo;
byId("hide-ticks").addEventListener("change", (event) => {
  document.body.classList.toggle("hide-ticks", event.target.checked);
});
byId("clear").addEventListener("click", () => {
  byId("log").replaceChildren();
  byId("empty").hidden = false;
});
byId("second-tab").href = location.pathname;
narrowPolicy();
showTarget();
showTopics(state.known, state.topics, toggleTopic);
setInterval(showNumbers, 500);
setInterval(showCountdown, 100);
connect();
