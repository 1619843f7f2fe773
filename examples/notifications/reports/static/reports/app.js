"use strict";

const byId = (id) => document.getElementById(id);

const socket = wssend.connect({
  onmessage: (message) => (message.type === "job" ? showJob(message) : showNote(message)),
  onopen: async () => {
    show("connected");
    // What was pushed while there was no connection is not sent again: fetch it.
    const { jobs } = await (await fetch("/jobs/")).json();
    jobs.reverse().forEach(showJob);
  },
  onclose: ({ code, final }) => {
    if (code === 4401) location.assign("/accounts/login/");
    else show(final ? "refused" : "reconnecting");
  },
});

function show(status) {
  byId("status").textContent = status;
  byId("status").dataset.is = status;
}

function showJob({ id, title, percent, started }) {
  const line = byId(`job-${id}`) ?? newJob(id);
  const bar = line.querySelector("progress");
  if (percent < bar.value) return; // an older message than what is shown
  bar.value = percent;
  line.querySelector("b").textContent = title;
  line.querySelector("time").textContent = new Date(started).toLocaleTimeString();
  line.querySelector("output").textContent = percent < 100 ? `${percent} %` : "ready";
  line.classList.toggle("ready", percent === 100);
}

function newJob(id) {
  const line = document.createElement("li");
  line.id = `job-${id}`;
  line.innerHTML =
    "<div><b></b><time></time><output></output></div><progress max=100 value=0></progress>";
  byId("jobs").prepend(line);
  byId("no-jobs").hidden = true;
  return line;
}

function showNote({ from, text }) {
  const line = document.createElement("li");
  const who = document.createElement("b");
  who.className = "avatar";
  who.textContent = from;
  line.append(who, text);
  byId("notes").prepend(line);
  byId("no-notes").hidden = true;
}

for (const form of [byId("start"), byId("announce")]) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    await fetch(form.action, { method: "POST", body: new FormData(form) });
    if (form.id === "announce") form.reset();
  });
}
