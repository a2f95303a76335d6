// Adding this browser as a device: by an invitation link, opened or pasted.
import * as accounts from './accounts.js';
import { $, show } from './dom.js';
import { explain } from './errors.js';
import * as keep from './keep.js';
import { enroll, invitation, newKey } from './protocol.js';
import { t } from './text.js';

// A device's name as the server takes it, save for what is not printable.
const goodName = (name) => name !== '' && [...name].length <= 64;

// tokenOf returns the token in the fragment of an invitation link.
export const tokenOf = (hash) => (/^#[A-Z2-7]{16,64}$/.test(hash) ? hash.slice(1) : '');

const appleMobile = () => /iPhone|iPad/.test(navigator.userAgent)
  || (navigator.platform === 'MacIntel' && navigator.maxTouchPoints > 1);

// defaultName is what users would call this device.
function defaultName() {
  const agent = navigator.userAgent;
  const first = (...names) => names.find(([pattern]) => pattern.test(agent))?.[1];
  const phone = first([/iPhone/, 'iPhone'], [/iPad/, 'iPad']);
  if (phone) return phone;
  const browser = first([/Edg/, 'Edge'], [/OPR/, 'Opera'], [/SamsungBrowser/, 'Samsung Internet'], [/Firefox/, 'Firefox'], [/Chrome/, 'Chrome'], [/Safari/, 'Safari']);
  const system = first([/Android/, 'Android'], [/CrOS/, 'ChromeOS'], [/Windows/, 'Windows'], [/Mac OS/, 'Mac'], [/Linux/, 'Linux']);
  return [browser, system].filter(Boolean).join(', ') || 'Browser';
}

// offer shows the form for a token. done is given the record of the new device.
export async function offer(token, done) {
  $('device-name').value = defaultName();
  show($('enroll-error'));
  show($('enroll-user'), t('loading'));
  offered(false); // before it is known for whom: nothing is to move below a finger
  const installed = matchMedia('(display-mode: standalone)').matches || navigator.standalone === true;
  $('enroll-ios').hidden = !appleMobile() || installed;
  $('copy-link').onclick = async () => {
    await navigator.clipboard.writeText(`${location.origin}/enroll#${token}`);
    $('copy-link').textContent = t('enroll.copied');
  };
  $('enroll-form').onsubmit = (event) => {
    event.preventDefault();
    add(token, done);
  };
  try {
    whom((await invitation(token)).user);
  } catch (err) {
    if (err.code === 'invitation') whom('', explain(err));
    else {
      whom();
      show($('enroll-error'), explain(err));
    }
  }
}

function offered(yes) {
  for (const e of document.querySelectorAll('#enroll .offered')) e.hidden = !yes;
}

// whom says for whom the invitation is and what becomes of the accounts that are
// here, or why it is good for nothing.
function whom(user = '', over = '') {
  const mine = user ? accounts.of(user) : undefined;
  const others = !mine && user && accounts.all().length > 0;
  show($('enroll-user'), user && t('enroll.user', { user }));
  show($('enroll-replaces'), mine && t('enroll.replaces', { name: mine.record.name, user: mine.record.user }));
  show($('enroll-beside'), others && t('enroll.beside', { users: accounts.names() }));
  show($('enroll-over'), over);
  $('enroll-again').hidden = !over;
  offered(!over);
}

async function add(token, done) {
  const name = $('device-name').value.trim();
  const button = $('enroll-form').querySelector('button');
  const complain = (text) => { show($('enroll-error'), text); $('device-name').focus(); };
  if (!goodName(name)) {
    complain(t('enroll.badname'));
    return;
  }
  button.disabled = true;
  button.textContent = t('enroll.adding');
  try {
    const pair = await newKey();
    try {
      await keep.probe(pair.privateKey);
    } catch {
      complain(t('enroll.nokeep'));
      return;
    }
    const record = await enroll(pair, token, name);
    await keep.save(record);
    show($('enroll-error'));
    done(record);
  } catch (err) {
    complain(explain(err));
  } finally {
    button.disabled = false;
    button.textContent = t('enroll.add');
  }
}

// invite shows where to paste a link. found is given its token.
export function invite(found) {
  $('invite-form').onsubmit = (event) => {
    event.preventDefault();
    const error = $('invite-error');
    let link;
    try {
      link = new URL($('invite-link').value.trim());
    } catch {
      link = undefined;
    }
    const token = link && tokenOf(link.hash);
    if (!token) show(error, t('invite.bad', { example: `${location.origin}/enroll#…` }));
    else if (link.origin !== location.origin) show(error, t('invite.elsewhere', { host: link.host }));
    else {
      show(error);
      found(token);
      return;
    }
    $('invite-link').focus();
  };
}
