// The user's sign-ins.
import * as accounts from './accounts.js';
import { $, el, icon } from './dom.js';
import { explain } from './errors.js';
import { plainOrigin } from './requests.js';
import { at, has, t } from './text.js';

// load shows those of the account that is chosen.
export async function load() {
  const device = accounts.current();
  accounts.pick('history', load);
  const list = el('ul', { class: 'rows' });
  try {
    const next = await more(device, list);
    if (device !== accounts.current()) return;
    $('logins').replaceChildren(...(list.children.length ? [list] : [el('p', { class: 'empty' }, t('history.none'))]), button(device, list, next));
  } catch (err) {
    if (device === accounts.current()) $('logins').replaceChildren(el('p', { class: 'error' }, explain(err)));
  }
}

// more adds to the list what comes from the cursor on, and returns the next cursor.
async function more(device, list, cursor) {
  const { logins, next } = await device.call('GET', `/api/v1/history${cursor ? `?before=${encodeURIComponent(cursor)}` : ''}`);
  list.append(...logins.map(row));
  return next;
}

// button shows what is older, as long as there is any.
function button(device, list, cursor) {
  if (!cursor) return '';
  const b = el('button', { type: 'button', class: 'plain', click: async () => {
    b.disabled = true;
    try {
      const seen = list.children.length;
      const next = await more(device, list, cursor);
      b.replaceWith(button(device, list, next));
      list.children[seen]?.focus();
    } catch (err) {
      b.replaceWith(el('p', { class: 'error', role: 'alert' }, explain(err)));
    }
  } }, t('history.more'));
  return b;
}

const look = { accept: ['good', 'yes'], reject: ['bad', 'no'] };

function row(login) {
  const [mood, shape] = look[login.outcome] ?? ['', 'clock'];
  const origin = plainOrigin(login);
  return el('li', { class: 'row', tabindex: '-1' },
    el('div', { class: `badge ${mood}` }, icon(shape)),
    el('div', { class: 'said' },
      el('p', { class: 'strong' }, t(`outcomes.${login.outcome}`), login.client ? ` · ${login.client}` : ''),
      el('p', {}, how(login)),
      el('p', { class: 'quiet' }, el('time', { datetime: login.time }, at(login.time)), origin && ` · ${t('history.from', { origin })}`)));
}

// how says what let the user in, or what kept them out.
function how({ outcome, method, reason, device }) {
  const key = outcome === 'accept' ? `method.${method}` : `reason.${reason}`;
  const text = has(key) ? t(key) : '';
  return device && text ? `${text}: ${device}` : text;
}
