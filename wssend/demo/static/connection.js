"use strict";

const settings = JSON.parse(document.querySelector("meta[name=wssend]").content);

// From here on this page may connect to its own server only. (A policy cannot
// name an IPv6 address.)
function narrowPolicy() {
  if (location.host.startsWith("[")) return;
  const meta = document.createElement("meta");
  meta.httpEquiv = "Content-Security-Policy";
  meta.content = `connect-src 'self' ws://${location.host} wss://${location.host}`;
  document.head.append(meta);
}

function socketUrl(id) {
  const url = new URL(settings.path, location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  if (settings.idQuery) url.searchParams.set(settings.idQuery, id);
  return url.href;
}

// One client of the hub: a socket in a worker of its own.
class Connection {
  #worker;

  // `on` has a function for each thing the worker tells: see worker.js.
  constructor(on) {
    const source = document.getElementById("worker").textContent;
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    this.#worker = new Worker(url);
    this.#worker.onmessage = ({ data }) => on[data.is]?.(data);
    URL.revokeObjectURL(url);
  }

  open(id) {
    this.#worker.postMessage({ do: "open", url: socketUrl(id) });
  }

  send(command) {
    this.#worker.postMessage({ do: "send", text: JSON.stringify(command) });
  }

  stall(milliseconds) {
    this.#worker.postMessage({ do: "stall", milliseconds });
  }

  close() {
    this.#worker.postMessage({ do: "close" });
  }

  // Also where the worker is busy: its socket goes with it.
  end() {
    this.#worker.terminate();
  }
}

const FIRST = ["amber", "calm", "clever", "coral", "gentle", "jolly", "lucky",
  "mellow", "misty", "quick", "quiet", "silver", "sunny", "swift", "vivid"];
const SECOND = ["badger", "falcon", "fox", "heron", "koala", "lynx", "maple",
  "otter", "panda", "puffin", "robin", "seal", "tiger", "willow", "wren"];

function pick(list) {
  return list[Math.floor(Math.random() * list.length)];
}

function newId() {
  return `${pick(FIRST)}-${pick(SECOND)}-${10 + Math.floor(Math.random() * 90)}`;
}
