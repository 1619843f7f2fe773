// A driver for Chromium: the body of a function that gets the address, the
// scenario, and what to call with what it saw. See payloads.py.
const [url, scenario, done] = arguments;

const SIZES = [0, 1, 125, 126, 65535, 65536, 1 << 20];
const SUBPROTOCOLS = ["unknown", "chat.v2", "chat.v1"];

const text = (size) => "é€😀x".repeat(Math.floor(size / 10)) + "x".repeat(size % 10);
const binary = (size) => Uint8Array.from({ length: size }, (_, i) => 31 * i + 7);

function next(ws) {
  return new Promise((resolve, reject) => {
    ws.onmessage = ({ data }) => resolve(data);
    ws.onclose = ({ code }) => reject(new Error(`closed with ${code}`));
  });
}

function closing(ws) {
  return new Promise((resolve) => {
    ws.onclose = ({ code, reason, wasClean }) => resolve({ code, reason, wasClean });
  });
}

function same(buffer, bytes) {
  const got = new Uint8Array(buffer);
  return got.length === bytes.length && got.every((byte, i) => byte === bytes[i]);
}

const scenarios = {
  async echo(ws) {
    const bad = [];
    for (const size of SIZES) {
      ws.send(text(size));
      if ((await next(ws)) !== text(size)) bad.push(["text", size]);
      ws.send(binary(size));
      if (!same(await next(ws), binary(size))) bad.push(["binary", size]);
    }
    return { bad };
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
    const { code, reason } = await closing(ws);
    return { code, reason };
  },
  async idle(ws) {
    const { code, reason } = await closing(ws);
    return { code, reason };
  },
};

async function main() {
  const ws = new WebSocket(url, SUBPROTOCOLS);
  ws.binaryType = "arraybuffer";
  await new Promise((resolve, reject) => {
    ws.onopen = resolve;
    ws.onerror = () => reject(new Error("no connection"));
  });
  ws.send("hello");
  await next(ws);
  const seen = await scenarios[scenario](ws);
  ws.close();
  return seen;
}

main().then(done, (error) => done({ error: String(error) }));
