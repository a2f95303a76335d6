// The connection to the server: a stream of events where that works, polling
// where it does not, and another try when it breaks.
import { Refusal } from './protocol.js';

const pollEvery = 3_000;
const pollFor = 60_000; // before the stream is tried again
const longest = 30_000; // between two tries

// Connection keeps the stream up from run until stop, or only polls where streams
// is false. handle is told each event of the protocol; status each change:
// connecting, on, polling or off; gone that the server does not know this device
// any more.
export class Connection {
  #stopped = new AbortController();
  #wake = () => {};
  #failures = 0;
  #streams = false; // the last stream brought at least one event

  constructor(device, { handle, status, gone, streams = true }) {
    Object.assign(this, { device, handle, status, gone, streams });
  }

  stop() {
    this.#stopped.abort();
    this.#wake();
  }

  async run() {
    const again = () => { if (document.visibilityState === 'visible') this.#wake(); };
    window.addEventListener('online', again);
    document.addEventListener('visibilitychange', again);
    this.status('connecting');
    while (!this.#stopped.signal.aborted) {
      const began = Date.now();
      if (this.streams) await this.#stream();
      if (!this.#streams) await this.#poll();
      if (Date.now() - began > longest) this.#failures = 0;
      // One try more each time, and not all browsers of a company at once.
      await this.#pause(Math.min(longest, 500 * 2 ** this.#failures++) * (0.5 + Math.random() / 2));
    }
    window.removeEventListener('online', again);
    document.removeEventListener('visibilitychange', again);
  }

  async #stream() {
    this.#streams = false;
    const event = (name, data) => {
      this.#streams = true;
      if (name === 'sync') {
        this.device.setTime(data.time);
        this.status('on');
      }
      this.handle(name, data);
    };
    try {
      await this.device.stream(event, this.#stopped.signal);
    } catch (err) {
      this.#failed(err);
    }
  }

  // poll is for where a stream brings nothing, as behind a proxy that holds events back.
  async #poll() {
    for (const until = Date.now() + pollFor; Date.now() < until && !this.#stopped.signal.aborted;) {
      try {
        const list = await this.device.call('GET', '/api/v1/prompts');
        this.device.setTime(list.time);
        this.status(this.streams ? 'polling' : 'on');
        this.handle('sync', list);
      } catch (err) {
        this.#failed(err);
        return;
      }
      await this.#pause(pollEvery);
    }
  }

  #failed(err) {
    if (this.#stopped.signal.aborted) return;
    if (err instanceof Refusal && err.code === 'device_unknown') {
      this.stop();
      this.gone();
      return;
    }
    this.status('off');
  }

  // pause ends early when the page is looked at again, or the network is back.
  #pause(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => { clearTimeout(timer); resolve(); };
    });
  }
}
