// Notifications: the service worker, Web Push, and a notice by this page while
// it is open in the background.
import { Refusal, decode, encode } from './protocol.js';
import { language, t } from './text.js';

let registration; // of the service worker, undefined where there is none
let serverKey; // for Web Push, undefined where the server has none
const subscribed = new Set(); // devices that the server notifies

// A policy for the one script that is named by a variable.
const scripts = window.trustedTypes?.createPolicy('radmatch', {
  createScriptURL: (lang) => `sw.js?lang=${encodeURIComponent(lang)}`,
}) ?? { createScriptURL: (lang) => `sw.js?lang=${encodeURIComponent(lang)}` };

// start registers the service worker, which makes the page installable. A
// browser that has none works without.
export async function start() {
  try {
    registration = await navigator.serviceWorker.register(scripts.createScriptURL(language), { updateViaCache: 'none' });
  } catch {
    registration = undefined;
  }
}

const canPush = () => serverKey !== undefined && registration?.pushManager !== undefined;

// resume asks the server for its key, and subscribes again where the user
// has agreed before: a subscription can be lost, and the server's key can change.
export async function resume(device) {
  try {
    ({ key: serverKey } = await device.call('GET', '/api/v1/push/key'));
  } catch (err) {
    if (!(err instanceof Refusal && err.status === 404)) throw err;
  }
  if (state() === 'on' && canPush()) await subscribe(device);
}

// state is on, ask, denied, or none where this browser shows no notifications.
export function state() {
  if (!('Notification' in window) || !registration) return 'none';
  return { granted: 'on', denied: 'denied' }[Notification.permission] ?? 'ask';
}

// describe is what notifications can do here.
export const describe = () => t(canPush() ? 'notify.text' : 'notify.textopen');

// turnOn asks the user; a browser wants a press of a button for that.
export async function turnOn(devices) {
  await Notification.requestPermission();
  if (state() === 'on' && canPush()) for (const device of devices) await subscribe(device);
  return state();
}

// subscribe has the server notify a device. A browser has one subscription, which
// all its accounts share.
async function subscribe(device) {
  const { pushManager } = await navigator.serviceWorker.ready;
  let subscription = await pushManager.getSubscription();
  const old = subscription?.options.applicationServerKey;
  if (subscription && (!old || encode(old) !== serverKey)) {
    await subscription.unsubscribe();
    subscription = null;
  }
  subscription ??= await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: decode(serverKey) });
  await device.call('POST', '/api/v1/push/subscription', subscription.toJSON());
  subscribed.add(device);
}

// stop ends the subscription, once no account is left that needs it.
export async function stop() {
  const subscription = await registration?.pushManager?.getSubscription();
  await subscription?.unsubscribe();
  subscribed.clear();
}

// notify shows a notice where the user does not see this page and no push will.
export async function notify(device) {
  if (document.visibilityState === 'visible' || state() !== 'on' || subscribed.has(device)) return;
  await registration.showNotification(t('notification.title'), {
    body: t('notification.body'), tag: 'sign-in', renotify: true, icon: 'icon-192.png',
  });
}

// quiet takes the notices back when nothing waits any more.
export async function quiet() {
  for (const notice of await registration?.getNotifications({ tag: 'sign-in' }) ?? []) notice.close();
}
