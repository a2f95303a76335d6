// The user's devices, and what can be set up on this one.
import * as accounts from './accounts.js';
import { $, announce, ask, el, icon, show } from './dom.js';
import { explain } from './errors.js';
import * as notify from './notify.js';
import * as passkey from './passkey.js';
import { save } from './keep.js';
import { Refusal } from './protocol.js';
import { refresh } from './requests.js';
import { at, t } from './text.js';

const laterKey = 'radmatch.setup.later';

let passkeys = false; // whether the server takes them

let removed; // is called when a device of this browser removed itself
let another; // to add an account

export function start(hooks) {
  ({ removed, another } = hooks);
}

// load shows the devices of the account that is chosen.
export async function load() {
  const device = accounts.current();
  accounts.pick('devices', load);
  let list;
  try {
    const devices = await fetchDevices(device);
    list = el('ul', { class: 'rows' }, ...devices.map((d) => row(device, d)));
  } catch (err) {
    list = el('p', { class: 'error' }, explain(err));
  }
  if (device !== accounts.current()) return;
  $('device-list').replaceChildren(list);
  settings(device);
}

async function fetchDevices(device) {
  const answer = await device.call('GET', '/api/v1/devices');
  passkeys = answer.passkeys === true;
  const mine = answer.devices.find((d) => d.this);
  if (mine && mine.name !== device.record.name) {
    device.record.name = mine.name;
    await save(device.record);
  }
  return answer.devices;
}

function row(device, d) {
  const marks = [d.this && t('devices.this'), d.passkey && t('devices.passkey'), d.push && t('devices.push')].filter(Boolean);
  return el('li', { class: 'row' },
    el('div', { class: 'badge' }, icon('device')),
    el('div', { class: 'said' },
      el('p', { class: 'strong' }, d.name),
      marks.length ? el('p', { class: 'marks' }, ...marks.map((mark) => el('span', { class: 'mark' }, mark))) : undefined,
      el('p', { class: 'quiet' }, t('devices.seen', { time: at(d.seen) })),
      el('p', { class: 'actions' },
        el('button', { type: 'button', class: 'link', 'aria-label': t('devices.renameof', { name: d.name }), click: () => rename(device, d) }, t('devices.rename')),
        el('button', { type: 'button', class: 'link bad', 'aria-label': t('devices.removeof', { name: d.name }), click: () => remove(device, d) }, t('devices.remove')))));
}

async function rename(device, d) {
  const name = await ask({ title: t('devices.renameof', { name: d.name }), agree: t('devices.save'),
    input: { label: t('devices.newname'), value: d.name } });
  if (!name || name === d.name) return;
  await change(t('devices.renamed', { name }),
    () => device.call('POST', `/api/v1/devices/${d.device}/name`, { name }));
}

async function remove(device, d) {
  const sure = await ask({ title: t('devices.removetitle', { name: d.name }),
    text: t(d.this ? 'devices.removethis' : 'devices.removetext'), agree: t('devices.remove'), danger: true });
  if (!sure) return;
  await change(t('devices.removed', { name: d.name }), () => device.remove(d.device, passkey.confirmation(device)),
    d.this ? () => removed(device) : undefined);
}

// change does something to a device and shows the list anew, or what went wrong.
async function change(done, f, after = again) {
  try {
    await f();
  } catch (err) {
    const text = err.name === 'NotAllowedError' ? t('passkey.cancelled') : explain(err);
    $('device-list').prepend(el('p', { class: 'error', role: 'alert' }, text));
    return;
  }
  announce(done);
  await after();
}

async function again() {
  await load();
  $('devices-title').focus();
}

// setting is one thing that can be set up here, with a button where it can be.
function setting({ title, text, state, button, press }) {
  const error = el('p', { class: 'error', role: 'alert', hidden: true });
  const action = button
    ? el('button', { type: 'button', class: 'secondary', click: async (event) => {
      const pressed = event.currentTarget;
      pressed.disabled = true;
      show(error, await press());
      pressed.disabled = false;
    } }, button)
    : el('span', { class: 'mark' }, state);
  return el('div', { class: 'setting' },
    el('div', { class: 'said' }, el('p', { class: 'strong' }, title), el('p', { class: 'quiet' }, text), error), action);
}

const canPasskey = () => passkeys && passkey.offered();

function passkeySetting(device, done) {
  const title = accounts.several() ? t('passkey.titleof', { user: device.record.user }) : t('passkey.title');
  if (device.record.passkey) return setting({ title, text: t('passkey.text'), state: t('passkey.on') });
  if (!canPasskey()) return setting({ title, text: t('passkey.unavailable'), state: '–' });
  return setting({ title, text: t('passkey.text'), button: t('passkey.add'), press: async () => {
    try {
      await passkey.register(device);
      await refresh(device); // what was refused for the lack of it can be approved now
    } catch (err) {
      return err instanceof Refusal ? explain(err) : t('passkey.failed');
    }
    announce(t('passkey.added'));
    done();
    return '';
  } });
}

function notifySetting(done) {
  const title = t('notify.title');
  const state = notify.state();
  if (state === 'on') return setting({ title, text: notify.describe(), state: t('notify.on') });
  if (state !== 'ask') return setting({ title, text: t(state === 'denied' ? 'notify.denied' : 'notify.unavailable'), state: '–' });
  return setting({ title, text: notify.describe(), button: t('notify.add'), press: async () => {
    try {
      if (await notify.turnOn(accounts.all()) === 'ask') return '';
    } catch {
      return t('notify.failed');
    }
    announce(t(notify.state() === 'on' ? 'notify.added' : 'notify.denied'));
    done();
    return '';
  } });
}

function settings(device) {
  const draw = () => settings(device);
  const more = setting({ title: t('accounts.title'), text: t('accounts.text'), button: t('accounts.add'), press: () => { another(); return ''; } });
  $('settings').replaceChildren(el('div', { class: 'panel' }, passkeySetting(device, draw), notifySetting(draw), more));
}

// remind offers what is not set up anew: an account has come.
export function remind() { localStorage.removeItem(laterKey); }

// offer shows on the first page what is not set up yet, until it is or the user puts it off.
export async function offer() {
  if (localStorage.getItem(laterKey)) return;
  for (const device of accounts.all()) {
    try {
      await fetchDevices(device);
    } catch {
      // The connection says so already.
    }
  }
  const draw = () => {
    const open = [
      ...accounts.all().filter((device) => canPasskey() && !device.record.passkey).map((device) => passkeySetting(device, draw)),
      ...(notify.state() === 'ask' && accounts.all().length ? [notifySetting(draw)] : []),
    ];
    const later = el('button', { type: 'button', class: 'link', click: () => {
      localStorage.setItem(laterKey, 'yes');
      $('setup').replaceChildren();
      $('requests-title').focus();
    } }, t('setup.later'));
    $('setup').replaceChildren(...(open.length
      ? [el('div', { class: 'panel' }, el('h2', {}, t('setup.title')), ...open, later)] : []));
  };
  draw();
}
