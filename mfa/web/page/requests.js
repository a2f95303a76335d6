// The requests that wait for the user, of all accounts: one card each, the
// newest first.
import { several } from './accounts.js';
import { $, announce, ask, el, icon } from './dom.js';
import { explain } from './errors.js';
import * as notify from './notify.js';
import * as passkey from './passkey.js';
import { Refusal } from './protocol.js';
import { at, has, many, t } from './text.js';

// A card takes no press for so long after it came or changed: the press was
// meant for what was there before.
const arming = 700;
const keptOver = 3; // cards of requests that are over, until another comes or they are dismissed
const unfolded = 3; // requests that wait for one decision; a longer list would hide the buttons
const keptCode = 15 * 60_000;

const cards = new Map(); // by the id of the prompt
let counter = 0;
let came = () => {};

// start begins. arrived is called when a request has come.
export function start(arrived) {
  came = arrived;
  setInterval(tick, 1000);
  document.addEventListener('visibilitychange', arm);
}

// handle takes an event of the protocol that an account was sent.
export function handle(device, name, data) {
  const mine = (id) => (cards.get(id)?.device === device ? cards.get(id) : undefined);
  if (name === 'prompt') put(device, data);
  if (name === 'withdrawn') mine(data.id)?.over(data.reason === 'decided' ? 'decided' : 'ended');
  if (name === 'sync') {
    const live = new Set(data.prompts.map((prompt) => prompt.id));
    for (const id of cards.keys()) if (!live.has(id)) mine(id)?.over('ended');
    for (const prompt of [...data.prompts].sort((a, b) => Date.parse(a.started) - Date.parse(b.started))) put(device, prompt);
  }
  count();
}

// refresh asks for the requests once more, after something changed that they depend on.
export async function refresh(device) {
  handle(device, 'sync', await device.call('GET', '/api/v1/prompts'));
}

// drop takes away what an account was sent that this browser no longer has.
export function drop(device) {
  for (const card of cards.values()) if (card.device === device) card.dismiss();
  count();
}

function put(device, prompt) {
  const known = cards.get(prompt.id);
  if (known) {
    known.update(prompt);
    return;
  }
  const card = new Card(device, prompt);
  const focused = [...cards.values()].some((over) => over.dismissable && over.element.contains(document.activeElement));
  for (const over of cards.values()) if (over.dismissable) over.dismiss();
  cards.set(prompt.id, card);
  $('cards').prepend(card.element);
  arm(); // the others have moved
  if (focused) card.focus();
  announce(t('request.announce', { title: card.title(), seconds: card.seconds() }));
  notify.notify(device);
  came();
}

function arm() {
  for (const card of cards.values()) card.arm();
}

// count says how many wait, where the user sees it from elsewhere.
function count() {
  const n = [...cards.values()].filter((card) => card.waits).length;
  $('none').hidden = cards.size > 0;
  // The offers to set something up would be in the way, unless the request lacks just that.
  $('setup').hidden = n > 0 && ![...cards.values()].some((card) => card.waits && card.prompt.refused);
  $('waiting').hidden = n === 0;
  $('waiting').textContent = n || '';
  document.title = n ? t('title.waiting', { n }) : t('title');
  if (n === 0) notify.quiet();
  const over = [...cards.values()].filter((card) => card.dismissable);
  for (const card of over.slice(0, -keptOver)) card.dismiss();
}

function tick() {
  for (const card of cards.values()) card.tick();
}

class Card {
  waits = true; // for the user
  dismissable = false;
  #busy = false; // a decision is on its way
  #meanwhile; // what the server said then
  #arming;
  #warned = false;

  constructor(device, prompt) {
    this.device = device;
    this.prompt = prompt;
    this.id = `request-${++counter}`;
    this.element = el('article', { class: 'card', 'aria-labelledby': `${this.id}-title` });
    this.#draw();
    this.arm();
  }

  title() {
    const { client } = this.prompt;
    return client ? t('request.title', { client }) : t('request.titleplain');
  }

  seconds() {
    return Math.max(0, Math.ceil((Date.parse(this.prompt.expires) - this.device.now()) / 1000));
  }

  focus() { this.element.querySelector('h2').focus(); }

  arm() {
    this.element.classList.remove('armed');
    clearTimeout(this.#arming);
    this.#arming = setTimeout(() => this.element.classList.add('armed'), arming);
  }

  #armed() { return this.element.classList.contains('armed'); }

  // update shows what joined. The typed text stays.
  update(prompt) {
    if (this.#busy) this.#meanwhile = () => this.update(prompt);
    if (!this.waits || this.#busy || JSON.stringify(prompt) === JSON.stringify(this.prompt)) return;
    const same = ['refused', 'number_required', 'shows_code'].every((member) => prompt[member] === this.prompt[member]);
    this.prompt = prompt;
    if (!same) this.#draw();
    else this.details.replaceWith(this.details = this.#facts());
    this.arm();
  }

  #draw() {
    const { refused, refused_code: code, number_required: numbered, shows_code: shows } = this.prompt;
    this.clock = el('span', {});
    this.bar = el('progress', { max: Math.max(1, this.#lifetime()), 'aria-hidden': 'true' });
    this.details = this.#facts();
    this.error = el('p', { class: 'error', role: 'alert', id: `${this.id}-error`, hidden: true });
    this.number = numbered && !refused ? el('input', {
      id: `${this.id}-number`, class: 'number', inputmode: 'numeric', pattern: '[0-9]*', maxlength: 8, autocomplete: 'off',
      'aria-describedby': `${this.id}-hint ${this.id}-error`,
    }) : undefined;
    const approve = el('button', { type: 'submit', class: 'approve' }, icon('yes'), t('request.approve'));
    const deny = el('button', { type: 'button', class: 'deny', click: () => this.#decide('deny') }, icon('no'), t('request.deny'));
    this.notMe = el('button', { type: 'button', class: 'link', click: () => this.#report() }, t('request.notme'));
    this.form = el('form', { novalidate: true, submit: (event) => { event.preventDefault(); this.#approve(); } },
      ...(this.number ? [
        el('label', { for: this.number.id }, t('request.number')), this.number,
        el('p', { class: 'hint', id: `${this.id}-hint` }, t('request.numberhint')),
      ] : []),
      ...(shows && !refused ? [el('p', { class: 'hint' }, t('request.code'))] : []),
      ...(refused ? [el('p', { class: 'note warn' }, t(has(`refused.${code}`) ? `refused.${code}` : 'refused.other'))] : []),
      this.error,
      el('div', { class: 'buttons decide' }, deny, ...(refused ? [] : [approve])),
      this.notMe);
    this.element.replaceChildren(
      el('div', { class: 'cardhead' },
        el('h2', { id: `${this.id}-title`, tabindex: '-1' }, this.title()),
        el('p', { class: 'timer', role: 'timer', 'aria-live': 'off' }, icon('clock'),
          el('span', { class: 'hidden' }, t('request.valid')), this.clock)),
      this.bar, this.details, this.form);
    this.tick();
  }

  #lifetime() { return (Date.parse(this.prompt.expires) - Date.parse(this.prompt.started)) / 1000; }

  #facts() {
    const { user, requests, more } = this.prompt;
    const first = requests[0] ?? {};
    const facts = el('dl', {});
    const row = (key, value) => { if (value) facts.append(el('div', {}, el('dt', {}, t(key)), el('dd', {}, value))); };
    if (several()) row('request.as', el('strong', {}, user));
    if (!this.prompt.hides_place) row('request.from', origin(first));
    row('request.when', at(this.prompt.started));
    if (!several()) row('request.as', user);
    const total = requests.length + (more ?? 0);
    if (total < 2) return facts;
    // A request that joins a prompt comes from the same place: only the client may differ.
    const joined = el('details', { class: 'joined', open: total <= unfolded }, el('summary', {}, many('request.joined', total)),
      el('ul', {}, ...requests.map((r) => el('li', {}, [at(r.time), r.client, withoutPort(r.source)].filter(Boolean).join(' · '))),
        ...(more ? [el('li', {}, many('request.more', more))] : [])));
    return el('div', {}, facts, joined);
  }

  tick() {
    if (!this.waits) return;
    const seconds = this.seconds();
    this.clock.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
    this.bar.value = seconds;
    this.element.classList.toggle('soon', seconds <= 10);
    if (seconds <= 10 && !this.#warned) {
      // The one time that a screen reader hears of the clock.
      this.#warned = true;
      announce(t('request.soon'));
    }
    if (seconds === 0 && !this.#busy) {
      this.over('ended');
      count();
    }
  }

  #approve() {
    if (!this.number) {
      this.#decide('approve');
      return;
    }
    const number = this.number.value.replace(/\s/g, '');
    if (!/^[0-9]{1,8}$/.test(number)) {
      this.#complain(t('request.numbermissing'));
      this.number.focus();
      return;
    }
    this.#decide('approve', number);
  }

  async #report() {
    if (!this.#armed()) return;
    const sure = await ask({ title: t('notme.title'), text: t('notme.text'), agree: t('notme.agree'), danger: true });
    if (sure && this.waits) this.#decide('not_me');
    else if (this.waits) this.notMe.focus();
  }

  async #decide(decision, number = '') {
    if (this.#busy || !this.waits || !this.#armed()) return;
    const confirm = decision === 'approve' ? passkey.confirmation(this.device) : undefined;
    if (decision === 'approve' && this.prompt.passkey && !confirm) {
      this.#complain(t('passkey.lost'));
      return;
    }
    this.#busy = true;
    this.#lock(t(confirm ? 'request.confirming' : 'request.sending'));
    try {
      const answer = await this.device.decide(this.prompt, decision, number, confirm);
      this.#result(answer);
    } catch (err) {
      this.#failed(err);
    }
    this.#busy = false;
    if (this.waits) this.#meanwhile?.();
    this.#meanwhile = undefined;
    count();
  }

  #lock(text) {
    for (const control of this.form.elements) control.disabled = true;
    this.#complain('');
    this.element.setAttribute('aria-busy', 'true');
    this.status = el('p', { class: 'hint', role: 'status' }, text);
    this.form.append(this.status);
  }

  #unlock() {
    for (const control of this.form.elements) control.disabled = false;
    this.element.removeAttribute('aria-busy');
    this.status?.remove();
  }

  #complain(text) {
    this.error.textContent = text;
    this.error.hidden = !text;
  }

  #failed(err) {
    const over = { already_decided: 'decided', expired: 'ended', unknown_prompt: 'ended' }[err.code];
    if (err instanceof Refusal && over) {
      this.#busy = false;
      this.over(over, true);
      return;
    }
    this.#unlock();
    this.#complain(err.name === 'NotAllowedError' ? t('passkey.cancelled') : explain(err));
    (this.number ?? this.form.querySelector('.approve') ?? this.form.querySelector('button')).focus();
  }

  #result({ outcome, code, code_expires: expires }) {
    this.#finish(outcome, outcome === 'approved' ? 'good' : 'bad', true, !code);
    if (!code) return;
    const value = el('p', { class: 'code', role: 'status' }, String(code));
    this.element.querySelector('.text').replaceWith(el('p', { class: 'text' }, t('outcome.code')), value);
    const left = Date.parse(expires) - this.device.now();
    setTimeout(() => { value.className = 'text'; value.textContent = t('outcome.codeover'); },
      Number.isNaN(left) ? keptCode : Math.min(left, keptCode));
    this.dismissable = false; // but by hand
  }

  // over ends the card for a request that this device did not decide.
  over(how, mine = false) {
    if (this.#busy) this.#meanwhile = () => this.over(how);
    if (!this.waits || this.#busy) return;
    this.#finish(how, '', mine || this.element.contains(document.activeElement));
  }

  // below: it makes room where another request waits.
  #finish(outcome, mood, focus, below = true) {
    this.waits = false;
    this.dismissable = true;
    this.element.removeAttribute('aria-busy');
    this.element.className = `card result ${mood}`;
    const shape = { approved: 'yes', decided: 'clock', ended: 'clock', reported: 'alert' }[outcome] ?? 'no';
    const heading = el('h2', { id: `${this.id}-title`, tabindex: '-1' }, t(`outcome.${outcome}`));
    const client = this.prompt.client ? el('p', { class: 'quiet' }, `${this.prompt.client} · ${at(this.prompt.started)}`) : undefined;
    this.element.replaceChildren(
      el('div', { class: 'badge' }, icon(shape)),
      el('div', { class: 'said' }, heading, el('p', { class: 'text' }, t(`outcome.${outcome}.text`)), client),
      el('button', { type: 'button', class: 'plain', click: () => this.dismiss(true) }, t('done')));
    const next = below ? [...cards.values()].findLast((card) => card.waits) : undefined;
    if (next) {
      $('cards').append(this.element);
      arm();
    }
    if (focus) (next?.element.querySelector('h2') ?? heading).focus();
    if (next || !focus) announce(`${t(`outcome.${outcome}`)}. ${t(`outcome.${outcome}.text`)}`);
  }

  dismiss(byHand = false) {
    cards.delete(this.prompt.id);
    this.element.remove();
    $('none').hidden = cards.size > 0;
    if (byHand) $('requests-title').focus();
  }
}

const withoutPort = (address) => address?.replace(/:\d+$/, '');

// plainOrigin is where the user signs in, in words. Nothing vouches for a claimed name.
export function plainOrigin({ end_user: name, claimed, place }) {
  if (!name) return '';
  if (claimed) return t('request.claims', { name });
  return place ? `${place} (${name})` : name;
}

function origin(request) {
  const { end_user: name, claimed, place } = request;
  if (!name) return t('request.unknown');
  if (claimed || !place) return plainOrigin(request);
  return el('span', {}, el('strong', {}, place), ` ${name}`);
}
