// wssend.js - a WebSocket that comes back.
//
//   <script src="/static/wssend/wssend.js" data-url="wss://example.com/ws"></script>
//   <script>
//     const socket = wssend.connect({ onmessage: (data) => console.log(data) });
//   </script>
//
// Or, in a module: import "/static/wssend/wssend.js"; wssend.connect({ url, ... }).
//
// When the connection ends it comes back, after a random time of up to 1, 2, 4 ... 30
// seconds, so that not all pages come back at once; and at once when the browser is
// online again or the page is looked at again. It does not come back after close(),
// nor after 4401 (not logged in), 4403 (not allowed) and 4409 (replaced by another).
(() => {
  "use strict";

  const FINAL = [4401, 4403, 4409];
  const STEADY = 5000; // ms; a connection that lasted as long counts as a good one
  const ours = document.currentScript;

  function defaultUrl() {
    if (ours?.dataset.url) return ours.dataset.url;
    const url = new URL("/ws", location.href);
    url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    return url.href;
  }

  function parse(data) {
    if (typeof data !== "string") return data;
    try {
      return JSON.parse(data);
    } catch {
      return data;
    }
  }

  class Connection {
    state = "connecting"; // "open", "waiting", "closed"
    #options;
    #socket = null;
    #timer = null;
    #tries = 0;
    #wake = () => {
      if (this.state === "waiting" && document.visibilityState === "visible") {
        this.#open();
      }
    };

    constructor(options) {
      this.#options = options;
      addEventListener("online", this.#wake);
      document.addEventListener("visibilitychange", this.#wake);
      this.#open();
    }

    // Text as it is, all else as JSON. False: there is no connection now, and
    // nothing was sent.
    send(data) {
      if (this.state !== "open") return false;
      const raw = typeof data === "string" || data instanceof Blob ||
        data instanceof ArrayBuffer || ArrayBuffer.isView(data);
      this.#socket.send(raw ? data : JSON.stringify(data));
      return true;
    }

    close() {
      if (this.state === "closed") return;
      const socket = this.#socket;
      this.#end();
      socket?.close(1000);
    }

    #open() {
      clearTimeout(this.#timer);
      this.state = "connecting";
      const socket = new WebSocket(this.#options.url ?? defaultUrl());
      let since = Infinity;
      this.#socket = socket;
      socket.binaryType = "arraybuffer";
      socket.onopen = () => {
        since = performance.now();
        this.state = "open";
        this.#options.onopen?.(this);
      };
      socket.onmessage = ({ data }) => {
        if (socket !== this.#socket) return; // closed here meanwhile
        const { json = true, onmessage } = this.#options;
        onmessage?.(json ? parse(data) : data, this);
      };
      socket.onclose = ({ code, reason }) => {
        if (socket !== this.#socket) return;
        if (performance.now() - since > STEADY) this.#tries = 0;
        if (FINAL.includes(code)) this.#end();
        else this.#wait();
        this.#options.onclose?.({ code, reason, final: this.state === "closed" }, this);
      };
    }

    #wait() {
      const { firstDelay = 1000, longestDelay = 30000 } = this.#options;
      const most = Math.min(longestDelay, firstDelay * 2 ** this.#tries);
      this.#tries += 1;
      this.state = "waiting";
      this.#timer = setTimeout(() => this.#open(), Math.random() * most);
    }

    #end() {
      clearTimeout(this.#timer);
      this.state = "closed";
      this.#socket = null;
      removeEventListener("online", this.#wake);
      document.removeEventListener("visibilitychange", this.#wake);
    }
  }

  // options: onmessage(data), onopen(), onclose({code, reason, final}); url; json:
  // false, to get text as it is; firstDelay, longestDelay in milliseconds.
  const connect = (options = {}) => new Connection(options);
  globalThis.wssend = Object.freeze({ connect });
})();
