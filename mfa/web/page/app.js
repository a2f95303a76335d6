// The authenticator: which part of the page is shown, and what happens when it
// is opened.
import * as accounts from './accounts.js';
import { Connection } from './connection.js';
import { $, announce, el } from './dom.js';
import * as devices from './devices.js';
import * as enrolment from './enroll.js';
import * as history from './history.js';
import * as keep from './keep.js';
import * as notify from './notify.js';
import * as passkey from './passkey.js';
import { Device } from './protocol.js';
import * as requests from './requests.js';
import { fill, loadTexts, t } from './text.js';

const sections = ['loading', 'enroll', 'invite', 'failure', 'requests', 'history', 'devices'];
const pages = ['requests', 'history', 'devices']; // of an enrolled device

// A browser opens six connections to a server, for all its tabs: what is left of
// them is for the requests.
const maxStreams = 2;

const connections = new Map(); // by device
const states = new Map(); // of the connections
let opened = 'loading';
let unattended = false; // a request has come that was not shown

function open(section) {
  opened = section;
  for (const id of sections) $(id).hidden = id !== section;
  for (const link of $('nav').querySelectorAll('a')) {
    if (link.hash === `#${section}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  if (section === 'requests') unattended = false;
  top();
  $(`${section}-title`)?.focus({ preventScroll: true });
}

// top shows the beginning of the page. What scrolls depends on the display.
function top() {
  window.scrollTo(0, 0);
  $('main').scrollTo(0, 0);
}

function fail(key) {
  $('failure-text').textContent = t(key);
  open('failure');
}

// route follows the links of the navigation.
function route() {
  if (!accounts.current()) return;
  const page = location.hash.slice(1);
  if (page === 'main') return; // the link to skip the navigation
  const section = [...pages, 'invite'].includes(page) ? page : 'requests';
  open(section);
  if (section === 'history') history.load();
  if (section === 'devices') devices.load();
}

const busy = () => document.activeElement?.closest('input, textarea, select') || document.querySelector('dialog[open]');

// arrived: a request has come.
function arrived() {
  if (opened !== 'requests') unattended = true;
  else if (!busy()) top();
  attend();
}

// attend goes to a request that has come, once the user neither writes nor has
// a dialog open.
function attend() {
  if (unattended && !busy() && pages.includes(opened)) location.hash = '#requests';
}

// status shows the worst state of all connections.
function status(device, state) {
  if (connections.has(device)) states.set(device, state);
  const now = [...states.values()];
  const worst = ['off', 'connecting', 'polling', 'on'].find((s) => now.includes(s));
  const e = $('connection');
  e.hidden = !worst;
  if (!worst) return;
  e.dataset.state = worst;
  if (e.textContent !== t(`connection.${worst}`)) e.textContent = t(`connection.${worst}`);
}

// begin makes this page the authenticator of one more account.
function begin(record) {
  const device = new Device(record);
  accounts.add(device);
  const connection = new Connection(device, {
    handle: (name, data) => requests.handle(device, name, data),
    status: (state) => status(device, state),
    gone: () => gone(device),
    streams: connections.size < maxStreams,
  });
  connections.set(device, connection);
  frame();
  connection.run();
  return device;
}

// end stops being that of one account.
function end(device) {
  connections.get(device)?.stop();
  connections.delete(device);
  states.delete(device);
  accounts.drop(device);
  requests.drop(device);
  frame();
  status();
}

// frame shows what is around the sections of an enrolled device.
function frame() {
  const enrolled = accounts.current() !== undefined;
  $('nav').hidden = !enrolled;
  $('owner').textContent = accounts.names();
  document.body.classList.toggle('enrolled', enrolled);
}

// setUp offers what can be switched on, and switches on again what was.
async function setUp() {
  for (const device of accounts.all()) {
    try {
      await notify.resume(device);
    } catch {
      // Without a connection, or a push service that does not answer: the open page works without.
    }
  }
  await devices.offer();
}

// gone: the server does not know this device any more. The key is kept: if the
// server's database comes back, so does the device.
function gone(device) {
  end(device);
  if (!accounts.current()) {
    left();
    return;
  }
  const { user } = device.record;
  notice(t('accounts.gone', { user }), t('accounts.forget'), () => keep.forget(device.record.device));
  if (opened === 'history' || opened === 'devices') route();
}

// removed: the user removed this device on this page.
async function removed(device) {
  end(device);
  await keep.forget(device.record.device);
  if (accounts.current()) {
    route();
    return;
  }
  await notify.stop();
  left();
}

// left: no account is left.
function left() {
  $('invite-removed').hidden = false;
  $('notices').replaceChildren();
  open('invite');
}

// notice stays on the first page until its button is pressed.
function notice(text, button, press) {
  const note = el('div', { class: 'panel', role: 'status' }, el('p', {}, text),
    el('button', { type: 'button', class: 'secondary', click: async () => {
      note.remove();
      await press();
      $('requests-title').focus();
    } }, button));
  $('notices').append(note);
}

// replace ends the devices of a user that the new one takes the place of.
async function replace(record) {
  const old = accounts.of(record.user);
  for (const kept of await keep.load()) {
    if (kept.device === record.device || !accounts.same(kept.user, record.user)) continue;
    await keep.forget(kept.device);
  }
  if (!old) return;
  end(old);
  try {
    await old.remove(old.record.device, passkey.confirmation(old));
  } catch (err) {
    if (err.code === 'device_unknown') return;
    notice(t('enroll.left', { name: old.record.name }), t('done'), () => {});
  }
}

function enrol(token) {
  enrolment.offer(token, async (record) => {
    navigator.storage?.persist?.(); // a browser short of space may drop the key, else
    window.history.replaceState(null, '', './');
    await replace(record);
    accounts.choose(begin(record));
    $('invite-removed').hidden = true;
    route();
    announce(t('enroll.done'));
    devices.remind();
    await setUp();
  });
  open('enroll');
}

async function main() {
  try {
    await loadTexts();
  } catch {
    return; // nothing can be said without them; the connection is down
  }
  fill(document);
  if (!window.isSecureContext) return fail('failure.insecure');
  let records;
  try {
    records = await keep.load();
  } catch {
    return fail('failure.old');
  }
  await notify.start();
  navigator.serviceWorker?.addEventListener('message', () => { location.hash = '#requests'; });
  window.addEventListener('hashchange', () => (enrolment.tokenOf(location.hash) ? location.reload() : route()));
  document.addEventListener('focusout', () => setTimeout(attend));
  requests.start(arrived);
  devices.start({ removed, another: () => { location.hash = '#invite'; } });
  enrolment.invite(enrol);
  records.forEach(begin);
  const token = location.pathname.endsWith('/enroll') ? enrolment.tokenOf(location.hash) : '';
  if (token) enrol(token);
  else if (records.length) route();
  else open('invite');
  if (records.length) await setUp();
}

main().catch(() => fail('failure.other'));
