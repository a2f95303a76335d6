// The authenticator: which part of the page is shown, and what happens when it
// is opened.
import { Connection } from './connection.js';
import { $, announce } from './dom.js';
import * as devices from './devices.js';
import * as enrolment from './enroll.js';
import * as history from './history.js';
import * as keep from './keep.js';
import * as notify from './notify.js';
import { Device } from './protocol.js';
import * as requests from './requests.js';
import { fill, loadTexts, t } from './text.js';

const sections = ['loading', 'enroll', 'invite', 'failure', 'requests', 'history', 'devices'];
const pages = ['requests', 'history', 'devices']; // of an enrolled device

let device; // undefined before it is enrolled
let connection;

function open(section, focus = true) {
  for (const id of sections) $(id).hidden = id !== section;
  for (const link of $('nav').querySelectorAll('a')) {
    if (link.hash === `#${section}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  if (focus) $(`${section}-title`)?.focus();
}

function fail(key) {
  $('failure-text').textContent = t(key);
  open('failure');
}

// route follows the links of the navigation.
function route() {
  if (!device) return;
  const page = location.hash.slice(1);
  if (page === 'main') return; // the link to skip the navigation
  const section = pages.includes(page) ? page : 'requests';
  open(section);
  if (section === 'history') history.load(device);
  if (section === 'devices') devices.load(device, removed);
}

function status(state) {
  const e = $('connection');
  e.hidden = false;
  e.dataset.state = state;
  if (e.textContent !== t(`connection.${state}`)) e.textContent = t(`connection.${state}`);
}

// begin makes this page the authenticator of an enrolled device.
async function begin(record) {
  device = new Device(record);
  $('nav').hidden = false;
  $('person').textContent = record.user;
  document.body.classList.add('enrolled');
  requests.start(device);
  connection = new Connection(device, { handle: requests.handle, status, gone });
  connection.run();
  route();
  try {
    await notify.resume(device);
  } catch {
    // Without a connection, or a push service that does not answer: the open page works without.
  }
  await devices.offer(device);
}

// end stops being one.
function end() {
  connection.stop();
  device = undefined;
  $('nav').hidden = true;
  $('connection').hidden = true;
  $('person').textContent = '';
  document.body.classList.remove('enrolled');
}

// gone: the server does not know this device any more. The key is kept: if the
// server's database comes back, so does the device.
function gone() {
  end();
  $('invite-removed').hidden = false;
  open('invite');
}

// removed: the person removed this device on this page.
async function removed() {
  end();
  await keep.forget();
  await notify.stop();
  $('invite-removed').hidden = false;
  open('invite');
}

function enrol(token, existing) {
  enrolment.offer(token, existing, async (record) => {
    navigator.storage?.persist?.(); // a browser short of space may drop the key, else
    window.history.replaceState(null, '', './');
    await begin(record);
    announce(t('enroll.done'));
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
  let record;
  try {
    record = await keep.load();
  } catch {
    return fail('failure.old');
  }
  await notify.start();
  navigator.serviceWorker?.addEventListener('message', () => { location.hash = '#requests'; });
  window.addEventListener('hashchange', () => (enrolment.tokenOf(location.hash) ? location.reload() : route()));
  enrolment.invite((token) => enrol(token, record));
  const token = location.pathname.endsWith('/enroll') ? enrolment.tokenOf(location.hash) : '';
  if (token) return enrol(token, record);
  if (record) return begin(record);
  open('invite');
}

main().catch(() => fail('failure.other'));
