// The person's devices, and what can be set up on this one.
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

// load shows the list. removed is called when this device removed itself.
export async function load(device, removed) {
  const list = $('device-list');
  try {
    const devices = await fetchDevices(device);
    list.replaceChildren(el('ul', { class: 'rows' }, ...devices.map((d) => row(device, d, removed))));
  } catch (err) {
    list.replaceChildren(el('p', { class: 'error' }, explain(err)));
  }
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

function row(device, d, removed) {
  const marks = [d.this && t('devices.this'), d.passkey && t('devices.passkey'), d.push && t('devices.push')].filter(Boolean);
  return el('li', { class: 'row' },
    el('div', { class: 'badge' }, icon('device')),
    el('div', { class: 'said' },
      el('p', { class: 'strong' }, d.name),
      marks.length ? el('p', { class: 'marks' }, ...marks.map((mark) => el('span', { class: 'mark' }, mark))) : undefined,
      el('p', { class: 'quiet' }, t('devices.seen', { time: at(d.seen) })),
      el('p', { class: 'actions' },
        el('button', { type: 'button', class: 'link', 'aria-label': t('devices.renameof', { name: d.name }), click: () => rename(device, d, removed) }, t('devices.rename')),
        el('button', { type: 'button', class: 'link bad', 'aria-label': t('devices.removeof', { name: d.name }), click: () => remove(device, d, removed) }, t('devices.remove')))));
}

async function rename(device, d, removed) {
  const name = await ask({ title: t('devices.renameof', { name: d.name }), agree: t('devices.save'),
    input: { label: t('devices.newname'), value: d.name } });
  if (!name || name === d.name) return;
  await change(device, removed, t('devices.renamed', { name }),
    () => device.call('POST', `/api/v1/devices/${d.device}/name`, { name }));
}

async function remove(device, d, removed) {
  const sure = await ask({ title: t('devices.removetitle', { name: d.name }),
    text: t(d.this ? 'devices.removethis' : 'devices.removetext'), agree: t('devices.remove'), danger: true });
  if (!sure) return;
  const gone = await change(device, d.this ? undefined : removed, t('devices.removed', { name: d.name }),
    () => device.call('DELETE', `/api/v1/devices/${d.device}`));
  if (gone && d.this) removed();
}

// change does something to a device and shows the list anew, or what went wrong.
async function change(device, removed, done, f) {
  try {
    await f();
  } catch (err) {
    $('device-list').prepend(el('p', { class: 'error', role: 'alert' }, explain(err)));
    return false;
  }
  announce(done);
  if (removed) {
    await load(device, removed);
    $('devices-title').focus();
  }
  return true;
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
  const title = t('passkey.title');
  if (device.record.passkey) return setting({ title, text: t('passkey.text'), state: t('passkey.on') });
  if (!canPasskey()) return setting({ title, text: t('passkey.unavailable'), state: '–' });
  return setting({ title, text: t('passkey.text'), button: t('passkey.add'), press: async () => {
    try {
      await passkey.register(device);
      await refresh(); // what was refused for the lack of it can be approved now
    } catch (err) {
      return err instanceof Refusal ? explain(err) : t('passkey.failed');
    }
    announce(t('passkey.added'));
    done();
    return '';
  } });
}

function notifySetting(device, done) {
  const title = t('notify.title');
  const state = notify.state();
  if (state === 'on') return setting({ title, text: notify.describe(), state: t('notify.on') });
  if (state !== 'ask') return setting({ title, text: t(state === 'denied' ? 'notify.denied' : 'notify.unavailable'), state: '–' });
  return setting({ title, text: notify.describe(), button: t('notify.add'), press: async () => {
    try {
      if (await notify.turnOn(device) === 'ask') return '';
    } catch {
      return t('notify.failed');
    }
    announce(t(notify.state() === 'on' ? 'notify.added' : 'notify.denied'));
    done();
    return '';
  } });
}

function settings(device) {
  const again = () => settings(device);
  $('settings').replaceChildren(el('div', { class: 'panel' }, passkeySetting(device, again), notifySetting(device, again)));
}

// offer shows on the first page what is not set up yet, until it is or the person puts it off.
export async function offer(device) {
  if (localStorage.getItem(laterKey)) return;
  try {
    await fetchDevices(device);
  } catch {
    // The connection says so already.
  }
  const draw = () => {
    const open = [
      ...(canPasskey() && !device.record.passkey ? [passkeySetting(device, draw)] : []),
      ...(notify.state() === 'ask' ? [notifySetting(device, draw)] : []),
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
