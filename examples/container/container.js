#!/usr/bin/env node
// A container in JavaScript: a linear classifier behind Clipper's container protocol, version 1.
//
//     ./container.js --address unix:/tmp/c.sock --hello '{"replica": "r1", ...}'
//     CLIPPER_CLUSTER_SECRET=... ./container.js --address tcp:127.0.0.1:7000 --hello '...'
//
// It needs Node.js 18 or newer and nothing else. docs/reference/container-protocol.md describes every byte.
"use strict";

const crypto = require("node:crypto");
const fs = require("node:fs");
const net = require("node:net");
const path = require("node:path");
const tls = require("node:tls");
const { parseArgs } = require("node:util");

const VERSION = 1;
const HEADER_BYTES = 12;
const MAX_BODY = 64 * 1024 * 1024;
const MAX_HANDSHAKE_BODY = 4096;
const HANDSHAKE_MS = 10_000;
const MAX_STRANGERS = 64;
const [HELLO, PREDICT, ANSWER, DRAIN, ERROR, CHALLENGE, PROOF] = [1, 2, 3, 4, 5, 6, 7];
const [OK, INVALID_INPUT, MODEL_FAILED] = [0, 1, 2];

class ProtocolError extends Error {}
class InvalidInput extends Error {}

// --- the model ------------------------------------------------------------------------------

/** The class whose row of weights, times the input, is largest. */
class LinearClassifier {
  constructor({ classes, weights }) {
    Object.assign(this, { classes, weights, features: weights[0].length });
  }

  predict(row) {
    const isRow = Array.isArray(row) && row.every(Number.isFinite);
    if (!isRow) throw new InvalidInput("expected an array of numbers");
    if (row.length !== this.features) {
      throw new InvalidInput(`expected ${this.features} numbers, got ${row.length}`);
    }
    const scores = this.weights.map((w) => w.reduce((sum, x, i) => sum + x * row[i], 0));
    return this.classes[scores.indexOf(Math.max(...scores))];
  }
}

/** One input's outcome. Whatever happens to it happens to no other. */
function answer(model, text) {
  let input;
  try {
    input = JSON.parse(text);
  } catch (error) {
    return [INVALID_INPUT, `expected JSON: ${error.message}`];
  }
  try {
    const output = JSON.stringify(model.predict(input));
    return output === undefined ? [MODEL_FAILED, "the output is not JSON"] : [OK, output];
  } catch (error) {
    return [error instanceof InvalidInput ? INVALID_INPUT : MODEL_FAILED, error.message];
  }
}

// --- frames ---------------------------------------------------------------------------------

function frame(type, requestId = 0, body = Buffer.alloc(0)) {
  const header = Buffer.alloc(HEADER_BYTES);
  header.write("CL", 0, "latin1");
  header.writeUInt8(VERSION, 2);
  header.writeUInt8(type, 3);
  header.writeUInt32LE(requestId, 4);
  header.writeUInt32LE(body.length, 8);
  return Buffer.concat([header, body]);
}

/** Cuts a byte stream into frames; `maxBody` holds for the next one. */
class Frames {
  maxBody = MAX_BODY;
  #chunks = [];
  #size = 0;

  push(chunk) {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
  }

  /** The next whole frame, or null; a header alone is enough to refuse a body too long. */
  next() {
    if (this.#size < HEADER_BYTES) return null;
    // The header may lie in several chunks, as may the body, which is joined once it is there.
    if (this.#chunks[0].length < HEADER_BYTES) this.#join();
    const header = this.#chunks[0];
    if (header.toString("latin1", 0, 2) !== "CL") throw new ProtocolError("expected a frame");
    if (header[2] !== VERSION) throw new ProtocolError(`expected version 1, got ${header[2]}`);
    const length = header.readUInt32LE(8);
    if (length > this.maxBody) {
      throw new ProtocolError(`expected a body of at most ${this.maxBody} bytes, got ${length}`);
    }
    const end = HEADER_BYTES + length;
    if (this.#size < end) return null;
    const data = this.#join();
    this.#chunks = [data.subarray(end)];
    this.#size -= end;
    return { type: data[3], requestId: data.readUInt32LE(4), body: data.subarray(HEADER_BYTES, end) };
  }

  #join() {
    const whole = Buffer.concat(this.#chunks);
    this.#chunks = [whole];
    return whole;
  }
}

/** The inputs of a PREDICT body, each as text. */
function inputsOf(body) {
  const count = body.length < 4 ? -1 : body.readUInt32LE(0);
  let start = 4 + 4 * count;
  if (count < 0 || body.length < start) throw new ProtocolError("expected a whole PREDICT body");
  const inputs = [];
  for (let i = 0; i < count; i++) {
    const end = start + body.readUInt32LE(4 + 4 * i);
    inputs.push(body.toString("utf8", start, end));
    start = end;
  }
  if (start !== body.length) throw new ProtocolError("expected the lengths to add up in a PREDICT");
  return inputs;
}

function answersBody(answers, microseconds) {
  const payloads = answers.map(([, text]) => Buffer.from(text));
  const head = Buffer.alloc(8 + 5 * answers.length);
  head.writeUInt32LE(answers.length, 0);
  head.writeUInt32LE(Math.min(microseconds, 0xffffffff), 4);
  answers.forEach(([status], i) => head.writeUInt8(status, 8 + i));
  payloads.forEach((p, i) => head.writeUInt32LE(p.length, 8 + answers.length + 4 * i));
  return Buffer.concat([head, ...payloads]);
}

// --- authentication, on TCP only --------------------------------------------------------------

/** Asks a stranger for a proof of the secret; verify() returns ours. */
class Handshake {
  constructor({ secret, replica, hello }) {
    Object.assign(this, { secret, replica, hello, nonce: crypto.randomBytes(32) });
  }

  verify({ type, body }) {
    if (type !== PROOF || body.length !== 64) throw new ProtocolError("expected a PROOF");
    const nonces = Buffer.concat([this.nonce, body.subarray(0, 32)]);
    const expected = this.#mac("clipper link 1: web\0", nonces, Buffer.from(this.replica));
    if (!crypto.timingSafeEqual(body.subarray(32), expected)) {
      throw new ProtocolError("authentication failed");
    }
    return this.#mac("clipper link 1: container\0", nonces, this.hello);
  }

  #mac(label, ...parts) {
    const mac = crypto.createHmac("sha256", this.secret).update(label);
    parts.forEach((part) => mac.update(part));
    return mac.digest();
  }
}

// --- one connection -----------------------------------------------------------------------------

class Peer {
  #frames = new Frames();
  #handshake = null;

  constructor(stream, container) {
    Object.assign(this, { stream, container });
    stream.on("data", (chunk) => this.#receive(chunk));
    stream.on("drain", () => stream.resume());
    stream.on("error", (error) => console.error(`connection failed: ${error.message}`));
    stream.on("close", () => container.forget(this));
    if (container.secret) this.#challenge();
    else this.#welcome();
  }

  drain() {
    if (!this.isStranger) this.stream.write(frame(DRAIN));
  }

  get isStranger() {
    return this.#handshake !== null;
  }

  #challenge() {
    this.#handshake = new Handshake(this.container);
    this.#frames.maxBody = MAX_HANDSHAKE_BODY;
    this.stream.write(frame(CHALLENGE, 0, this.#handshake.nonce));
    this.timer = setTimeout(() => this.stream.destroy(), HANDSHAKE_MS);
    this.stream.on("close", () => clearTimeout(this.timer));
  }

  #welcome() {
    this.stream.write(frame(HELLO, 0, this.container.hello));
    if (this.container.draining) this.drain();
  }

  #receive(chunk) {
    if (this.stream.writableEnded) return;
    this.#frames.push(chunk);
    try {
      for (let next = this.#frames.next(); next !== null; next = this.#frames.next()) {
        this.#take(next);
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      console.error(`connection refused: ${error.message}`);
      this.stream.end(frame(ERROR, 0, Buffer.from(error.message)));
      setTimeout(() => this.stream.destroy(), 1000).unref();
    }
  }

  #take(received) {
    if (this.isStranger) {
      const proof = this.#handshake.verify(received);
      this.#handshake = null;
      this.#frames.maxBody = MAX_BODY;
      clearTimeout(this.timer);
      this.stream.write(frame(PROOF, 0, proof));
      this.#welcome();
    } else if (received.type === PREDICT) {
      this.#predict(received);
    } else if (received.type === ERROR) {
      console.error(`the peer reported: ${received.body}`);
    } else {
      throw new ProtocolError(`expected a PREDICT frame, got type ${received.type}`);
    }
  }

  #predict({ requestId, body }) {
    const inputs = inputsOf(body);
    const started = process.hrtime.bigint();
    const answers = inputs.map((text) => answer(this.container.model, text));
    const microseconds = Number((process.hrtime.bigint() - started) / 1000n);
    const written = this.stream.write(frame(ANSWER, requestId, answersBody(answers, microseconds)));
    // Who does not read his answers is not read either.
    if (!written) this.stream.pause();
  }
}

// --- the server ---------------------------------------------------------------------------------

class Container {
  #peers = new Set();

  constructor({ model, hello, secret }) {
    this.model = model;
    this.hello = Buffer.from(hello);
    this.replica = JSON.parse(hello).replica;
    this.secret = secret;
    this.draining = false;
  }

  accept(stream) {
    stream.setNoDelay?.(true);
    const strangers = [...this.#peers].filter((peer) => peer.isStranger);
    if (strangers.length >= MAX_STRANGERS) strangers[0].stream.destroy();
    this.#peers.add(new Peer(stream, this));
  }

  /** Ask for no more batches, answer what still comes, end when every peer has closed. */
  drain() {
    this.draining = true;
    this.#peers.forEach((peer) => peer.drain());
    this.#endIfAlone();
  }

  forget(peer) {
    this.#peers.delete(peer);
    this.#endIfAlone();
  }

  #endIfAlone() {
    const left = [...this.#peers].filter((peer) => !peer.isStranger);
    if (this.draining && left.length === 0) process.exit(0);
  }
}

function listen(address, container) {
  const [, unixPath] = /^unix:(.+)$/.exec(address) ?? [];
  if (unixPath) {
    process.umask(0o177); // the socket is its owner's alone, from the first moment
    const server = net.createServer((stream) => container.accept(stream));
    process.on("exit", () => fs.rmSync(unixPath, { force: true }));
    server.listen(unixPath, () => console.log(JSON.stringify({ ok: true, address })));
    return;
  }
  const [, host, port] = /^tcp:\[?(.+?)\]?:(\d+)$/.exec(address) ?? [];
  if (!host) throw new Error(`expected unix:/path or tcp:host:port, got ${address}`);
  if (!container.secret) throw new Error("expected CLIPPER_CLUSTER_SECRET: TCP is authenticated");
  const { CLIPPER_TLS_CERT: cert, CLIPPER_TLS_KEY: key } = process.env;
  const server = cert
    ? tls.createServer(
        { cert: fs.readFileSync(cert), key: fs.readFileSync(key), minVersion: "TLSv1.3" },
        (stream) => container.accept(stream),
      )
    : net.createServer((stream) => container.accept(stream));
  server.on("tlsClientError", (error) => console.error(`connection refused: ${error.message}`));
  server.listen(Number(port), host, () => {
    const chosen = `tcp:${host}:${server.address().port}`;
    console.log(JSON.stringify({ ok: true, address: chosen }));
  });
}

function main() {
  const { values } = parseArgs({
    options: {
      address: { type: "string" },
      hello: { type: "string" },
      device: { type: "string", default: "cpu" },
    },
  });
  const model = new LinearClassifier(
    JSON.parse(fs.readFileSync(path.join(__dirname, "model.json"), "utf8")),
  );
  // A Unix socket is guarded by its file's mode and needs no secret.
  const secret = values.address.startsWith("tcp:") ? process.env.CLIPPER_CLUSTER_SECRET : "";
  const container = new Container({ model, hello: values.hello, secret });
  process.on("SIGTERM", () => container.drain());
  process.on("SIGINT", () => container.drain());
  listen(values.address, container);
}

main();
