// The accounts of this browser: each is a device of one user, with a key of its
// own. Pages about one account show the chosen one.
import { $, el } from './dom.js';
import { t } from './text.js';

const list = []; // the devices, see protocol.js
let chosen;

export const all = () => [...list];
export const several = () => list.length > 1;
export const names = () => list.map((device) => device.record.user).join(', ');

export function add(device) {
  list.push(device);
  chosen ??= device;
}

export function drop(device) {
  const i = list.indexOf(device);
  if (i >= 0) list.splice(i, 1);
  if (chosen === device) [chosen] = list;
}

// current is the account that History and Devices show.
export const current = () => chosen;

export function choose(device) { chosen = device; }

// of returns this browser's device of a user.
export const of = (user) => list.find((device) => same(device.record.user, user));

// same reports whether two names are one user's, however they are spelled.
export const same = (a, b) => fold(a) === fold(b);

const fold = (name) => name.normalize('NFC').toLowerCase();

// pick draws a button for each account at the top of a section, where there are
// several. changed is called when another one is chosen.
export function pick(section, changed) {
  const place = $(`${section}-account`);
  place.hidden = !several();
  place.replaceChildren(...(several() ? list.map((device) => el('button', {
    type: 'button', class: 'choice', 'aria-pressed': String(device === chosen),
    click: () => {
      chosen = device;
      changed();
      place.querySelector('[aria-pressed=true]')?.focus();
    },
  }, device.record.user)) : []));
  place.setAttribute('aria-label', t('accounts.label'));
}
