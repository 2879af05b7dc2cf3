// Calls endpoints the way an application in Node does: a call each period, whatever became of those
// before. Arguments and lines are those of client.py; in mode "flood" connections are opened, and kept, so
// many that they grow from 120 to 3840 within seventeen seconds.
import http from "node:http";
import net from "node:net";

const [speech, mode, workers, period, patience, ...targets] = process.argv.slice(2);
const words = {
  EHOSTUNREACH: "shed",
  ECONNREFUSED: "refused",
  ETIMEDOUT: "timeout",
  EADDRNOTAVAIL: "portless",
};
const now = () => Math.round(performance.now() * 1000);

function call(target, ask) {
  const begun = now();
  let connected;
  let timer;
  const end = (word) => {
    if (timer === undefined) return;
    clearTimeout(timer);
    timer = undefined;
    const ended = now();
    process.stdout.write(`${target} ${word} ${(connected ?? ended) - begun} ${ended - begun}\n`);
  };
  const cut = ask(target, () => (connected = now()), end);
  timer = setTimeout(() => (end("timeout"), cut()), Number(patience));
}

function askHttp(target, connected, end) {
  const request = http.get(`http://${target}/`, { agent: false }, (answer) => {
    answer.on("end", () => end(answer.statusCode >= 500 ? "failed" : "ok"));
    answer.on("error", () => end("broken"));
    answer.resume();
  });
  request.on("socket", (socket) => socket.on("connect", connected));
  request.on("error", (error) => end(words[error.code] ?? "broken"));
  return () => request.destroy();
}

function askRedis(target, connected, end, keep) {
  const [host, port] = target.split(":");
  const socket = net.connect(Number(port), host, () => (connected(), socket.write("PING\r\n")));
  socket.on("data", (data) => {
    end(data.toString().startsWith("+PONG") ? "ok" : "failed");
    if (!keep) socket.destroy();
  });
  socket.on("error", (error) => end(words[error.code] ?? "broken"));
  socket.on("close", () => (end("broken"), keep?.delete(socket)));
  keep?.add(socket);
  return () => socket.destroy();
}

function flood(target) {
  const open = new Set();
  const begun = performance.now();
  setInterval(() => {
    const seconds = Math.min((performance.now() - begun) / 1000, 17);
    const wanted = 120 * 32 ** (seconds / 17);
    for (let few = 0; few < 100 && open.size < wanted; few += 1) {
      call(target, (...how) => askRedis(...how, open));
    }
    // What is refused is asked for again at the next turn.
  }, Number(period));
}

const ask = speech === "http" ? askHttp : askRedis;
for (const target of targets) {
  for (let worker = 0; worker < Number(workers); worker += 1) {
    if (mode === "flood") flood(target);
    else setTimeout(() => setInterval(() => call(target, ask), Number(period)), Math.random() * period);
  }
}
