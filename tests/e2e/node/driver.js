// A driver for Node's ws; see drivers/payloads.py.
import WebSocket from "ws";

const SIZES = [0, 1, 125, 126, 65535, 65536, 1 << 20];
const SUBPROTOCOLS = ["unknown", "chat.v2", "chat.v1"];
const FRAGMENTS = ["one ", "tw", "", "o and ", "three"];

const text = (size) => "é€😀x".repeat(Math.floor(size / 10)) + "x".repeat(size % 10);
const binary = (size) => Buffer.from({ length: size }, (_, i) => (31 * i + 7) % 256);

// Binary comes as a Buffer, text as a string.
function next(ws) {
  return new Promise((resolve, reject) => {
    ws.once("message", (data, isBinary) => resolve(isBinary ? data : data.toString()));
    ws.once("close", (code) => reject(new Error(`closed with ${code}`)));
  });
}

function closing(ws) {
  return new Promise((resolve) => {
    ws.once("close", (code, reason) => resolve({ code, reason: reason.toString() }));
  });
}

function sendFragments(ws, parts) {
  parts.forEach((part, i) => ws.send(part, { fin: i === parts.length - 1 }));
}

const scenarios = {
  async echo(ws) {
    const bad = [];
    for (const size of SIZES) {
      ws.send(text(size));
      if ((await next(ws)) !== text(size)) bad.push(["text", size]);
      ws.send(binary(size));
      if (!binary(size).equals(await next(ws))) bad.push(["binary", size]);
    }
    return { bad };
  },
  async fragments(ws) {
    sendFragments(ws, FRAGMENTS);
    const answer = await next(ws);
    sendFragments(ws, FRAGMENTS.map((part) => Buffer.from(part)));
    return { text: answer, binary: (await next(ws)).toString() };
  },
  async ping(ws) {
    const pong = new Promise((resolve) => ws.once("pong", resolve));
    ws.ping("are you there");
    return { pong: (await pong).toString() === "are you there" };
  },
  async subprotocol(ws) {
    return { subprotocol: ws.protocol };
  },
  async client_closes(ws) {
    ws.close(3001, "done");
    return { code: (await closing(ws)).code };
  },
  async server_closes(ws) {
    ws.send("please close");
    return closing(ws);
  },
  idle: closing,
};

const [url, scenario] = process.argv.slice(2);
const ws = new WebSocket(url, SUBPROTOCOLS);
await new Promise((resolve, reject) => {
  ws.once("open", resolve);
  ws.once("error", reject);
});
ws.send("hello");
await next(ws);
ws.removeAllListeners("close");
process.stdout.write(JSON.stringify(await scenarios[scenario](ws)));
ws.close();
