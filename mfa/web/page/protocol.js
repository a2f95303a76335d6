// The device protocol, docs/device-protocol.md: keys, signatures, requests and
// the stream of events. Nothing here touches the page.
const version = 3;

// surface is where a decision is made: never on a notification or a watch.
const surface = 'app';

const utf8 = new TextEncoder();
const ecdsa = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

// encode writes bytes as base64url without padding, decode reads it.
export function encode(buffer) {
  const text = String.fromCharCode(...new Uint8Array(buffer));
  return btoa(text).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}

export function decode(text) {
  return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
}

// signingInput is what a signature covers: each text with its length before it.
export function signingInput(...texts) {
  const parts = texts.map((text) => utf8.encode(text));
  const out = new Uint8Array(parts.reduce((n, part) => n + 4 + part.length, 0));
  let at = 0;
  for (const part of parts) {
    new DataView(out.buffer).setUint32(at, part.length);
    out.set(part, at + 4);
    at += 4 + part.length;
  }
  return out;
}

const sign = async (key, input) => encode(await crypto.subtle.sign(ecdsa, key, input));
const sha256 = (bytes) => crypto.subtle.digest('SHA-256', bytes);

// Refusal is an error that the server told.
export class Refusal extends Error {
  constructor(status, body) {
    super(body.message || `HTTP ${status}`);
    this.status = status;
    this.code = body.error || 'unknown';
    this.time = body.time;
  }
}

// exchange makes one request and returns its answer, which is 2xx. Targets
// begin at /api/v1, which lies beside the page.
async function exchange(method, target, body, headers, signal) {
  const answer = await fetch(target.slice(1), {
    method, signal, body: body || undefined, cache: 'no-store', redirect: 'error',
    headers: body ? { ...headers, 'Content-Type': 'application/json' } : headers,
  });
  if (answer.ok) return answer;
  let said = {};
  try { said = await answer.json(); } catch { /* a proxy's */ }
  throw new Refusal(answer.status, said);
}

// newKey makes a key that can be used but not read.
export const newKey = () => crypto.subtle.generateKey(ecdsa, false, ['sign', 'verify']);

// enroll enrols a device with the key. It returns the record that Device is made from.
export async function enroll(pair, token, name) {
  const key = encode(await crypto.subtle.exportKey('spki', pair.publicKey));
  const signature = await sign(pair.privateKey, signingInput('radmatch enroll', String(version), token, name, key));
  const answer = await exchange('POST', '/api/v1/enroll', JSON.stringify({ version, token, name, key, signature }));
  const { device, user, name: given } = await answer.json();
  return { key: pair.privateKey, device, user, name: given ?? name, added: Date.now() };
}

// invitation tells whom an invitation is for, and until when.
export async function invitation(token) {
  const answer = await exchange('POST', '/api/v1/invitation', JSON.stringify({ token }), {}, AbortSignal.timeout(15_000));
  return answer.json();
}

// Device is an enrolled device that talks to the server.
export class Device {
  // ahead is how many milliseconds the server's clock is ahead of ours.
  ahead = 0;

  constructor(record) {
    this.record = record;
  }

  // now is the server's time.
  now() { return Date.now() + this.ahead; }

  setTime(time) {
    const server = Date.parse(time);
    if (!Number.isNaN(server)) this.ahead = server - Date.now();
  }

  async send(method, target, body = '', signal) {
    const device = this.record.device;
    for (let attempt = 1; ; attempt++) {
      const time = String(Math.floor(this.now() / 1000));
      const nonce = encode(crypto.getRandomValues(new Uint8Array(16)));
      const hash = encode(await sha256(utf8.encode(body)));
      const input = signingInput('radmatch request', String(version), device, time, nonce, method, target, hash);
      const signature = await sign(this.record.key, input);
      const Authorization = `Radmatch version=${version}, device=${device}, time=${time}, nonce=${nonce}, signature=${signature}`;
      try {
        return await exchange(method, target, body, { Authorization }, signal);
      } catch (err) {
        if (err.code !== 'clock_skew' || attempt > 1) throw err;
        this.setTime(err.time);
      }
    }
  }

  // call makes a request and returns the JSON of its answer, if it has any.
  async call(method, target, body) {
    const answer = await this.send(method, target, body === undefined ? '' : JSON.stringify(body), AbortSignal.timeout(15_000));
    return answer.status === 204 ? undefined : answer.json();
  }

  // decide sends a decision, again where no answer came: it counts once.
  // confirm is asked for the passkey's assertion over the decision.
  async decide(prompt, decision, number, confirm) {
    const input = signingInput('radmatch decision', String(version), this.record.device, prompt.user, prompt.id, decision, number, surface);
    const body = { decision, surface, signature: await sign(this.record.key, input) };
    if (number) body.number = number;
    if (confirm) body.assertion = await confirm(new Uint8Array(await sha256(input)));
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.call('POST', `/api/v1/prompts/${encodeURIComponent(prompt.id)}/decision`, body);
      } catch (err) {
        if (err instanceof Refusal || attempt === 3) throw err;
        await new Promise((resolve) => setTimeout(resolve, attempt * 1000));
      }
    }
  }

  // remove removes a device of this one's user, maybe itself. confirm is asked for
  // the passkey's assertion, where this device has one.
  async remove(id, confirm) {
    const input = signingInput('radmatch remove', String(version), this.record.device, id);
    const body = confirm && { assertion: await confirm(new Uint8Array(await sha256(input))) };
    await this.call('DELETE', `/api/v1/devices/${id}`, body);
  }

  // stream hands the events of one stream to handle until it ends, is silent
  // for 45 s, or signal says so.
  async stream(handle, signal) {
    const ending = new AbortController();
    const end = () => ending.abort();
    signal.addEventListener('abort', end);
    let silence = setTimeout(end, 10_000); // until the first event: a proxy may hold it back
    try {
      const answer = await this.send('GET', '/api/v1/events', '', ending.signal);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let text = ''; ;) {
        const { value, done } = await reader.read();
        if (done) return;
        clearTimeout(silence);
        silence = setTimeout(end, 45_000);
        const blocks = (text + value).split('\n\n');
        text = blocks.pop();
        for (const block of blocks) parse(block, handle);
      }
    } finally {
      clearTimeout(silence);
      signal.removeEventListener('abort', end);
      end();
    }
  }
}

// parse reads one event, or a comment.
function parse(block, handle) {
  const fields = {};
  for (const line of block.split('\n')) {
    const [, name, value] = line.match(/^(\w+): ?(.*)$/) ?? [];
    if (name) fields[name] = value;
  }
  if (fields.event && fields.data) handle(fields.event, JSON.parse(fields.data));
}
