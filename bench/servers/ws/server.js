"use strict";
// ws: a Set of clients, as in its own example of a broadcast. What it has not written
// yet waits in bufferedAmount, without a bound; so a client that is too far behind is
// left out. The protocol on stdin and stdout is in bench/README.md.

const { createInterface } = require("node:readline");
const { parseArgs } = require("node:util");
const { WebSocketServer, WebSocket } = require("ws");

const ACK_TIMEOUT = 30_000; // ms
const BACKLOG = 1024;
const LARGE = 4096; // bytes; QUEUE messages of this size may wait for a client
const STAMP = 16; // bytes of a message that are not filler

const { values: options } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    queue: { type: "string", default: "256" },
  },
});
const limit = Number(options.queue) * LARGE;

// How many rounds have arrived, as the load client says.
const acks = {
  sent: 0,
  complete: 0,
  changed: () => {},

  reset() {
    this.sent = this.complete = 0;
  },

  // One of an earlier job is left.
  take(data) {
    const complete = Number(data.readBigUInt64LE());
    if (complete > this.complete && complete <= this.sent) {
      this.complete = complete;
      this.changed();
    }
  },

  // Waits until this round may be sent.
  async before(number, window) {
    this.sent = number;
    while (this.complete < number - window) {
      await new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error("no ack")), ACK_TIMEOUT);
        this.changed = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  },
};

function payload(number, size) {
  const data = Buffer.alloc(size, "x");
  data.writeBigUInt64LE(BigInt(number), 0);
  data.writeBigUInt64LE(process.hrtime.bigint(), 8); // CLOCK_MONOTONIC
  return data;
}

function paced(intervalUs) {
  let start;
  return (number) => {
    const now = performance.now();
    start ??= now;
    const wait = start + ((number - 1) * intervalUs) / 1e3 - now;
    return new Promise((resolve) => {
      if (wait > 0) setTimeout(resolve, wait);
      else setImmediate(resolve);
    });
  };
}

function acked(window) {
  acks.reset();
  return (number) => acks.before(number, window);
}

// Does one hand-over after the other; handOver() tells to how many clients it tried to
// send, and how many had room.
async function forRounds(rounds, pace, handOver) {
  let tried = 0;
  let sent = 0;
  let begin = 0n;
  let end = 0n;
  for (let number = 1; number <= rounds; number++) {
    await pace(number);
    if (number === 1) begin = process.hrtime.bigint();
    const [more, accepted] = handOver(number);
    tried += more;
    sent += accepted;
    end = process.hrtime.bigint();
  }
  return { rounds, sent, refused: tried - sent, wall_ns: Number(end - begin) };
}

function send(client, data) {
  if (client.readyState !== WebSocket.OPEN) return false;
  const waiting = client.bufferedAmount;
  if (waiting > 0 && waiting + data.length > limit) return false;
  client.send(data);
  return true;
}

function toAll(server, rounds, pace, size) {
  return forRounds(rounds, pace, (number) => {
    const data = payload(number, size);
    let sent = 0;
    server.clients.forEach((client) => {
      if (send(client, data)) sent++;
    });
    return [server.clients.size, sent];
  });
}

function toEach(server, count, rounds, pace, size) {
  return forRounds(rounds, pace, (number) => {
    let tried = 0;
    let sent = 0;
    for (const client of server.clients) {
      if (tried === count) break;
      tried++;
      if (send(client, payload(number, size))) sent++;
    }
    return [tried, sent];
  });
}

const commands = {
  count: (server) => ({ clients: server.clients.size }),
  broadcast: (server, rounds, interval, size) =>
    toAll(server, rounds, paced(interval), size),
  closed: (server, rounds, window, size) => toAll(server, rounds, acked(window), size),
  unicast: (server, rounds, window, size) =>
    toEach(server, Infinity, rounds, acked(window), size),
  some: (server, count, rounds, interval, size) =>
    toEach(server, count, rounds, paced(interval), size),
  sendcost: (_server, _calls, _size) => ({ ns: null }), // there is no queue
};

async function obey(server, line) {
  const [name, ...words] = line.trim().split(/\s+/);
  const numbers = words.map(Number);
  const command = Object.hasOwn(commands, name) ? commands[name] : null;
  if (
    command?.length !== numbers.length + 1 ||
    !numbers.every(Number.isSafeInteger) ||
    numbers.at(-1) < STAMP
  ) {
    return { error: `unknown command ${JSON.stringify(line)}` };
  }
  try {
    return await command(server, ...numbers);
  } catch (error) {
    return { error: error.message };
  }
}

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(options.port),
  backlog: BACKLOG,
  perMessageDeflate: false,
});
server.on("connection", (client) => {
  client.on("error", console.error);
  client.on("message", (data) => acks.take(data));
});
server.on("listening", () => {
  console.log(`ready ${server.address().port}`);
  let last = Promise.resolve();
  createInterface({ input: process.stdin })
    .on("line", (line) => {
      if (line.trim() === "quit") process.exit(0);
      last = last
        .then(() => obey(server, line))
        .then((answer) => console.log(JSON.stringify(answer)));
    })
    .on("close", () => process.exit(0));
});
