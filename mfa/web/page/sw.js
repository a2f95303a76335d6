// The service worker: it shows that something waits, and opens the page. It
// never decides, keeps nothing, and reads nothing from a message: what it
// shows on a locked phone says nothing about the sign-in.
'use strict';

const lang = new URL(location.href).searchParams.get('lang') ?? 'en';

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));

self.addEventListener('push', (event) => event.waitUntil(notify()));

async function notify() {
  let texts = { 'notification.title': 'radmatch', 'notification.body': '' };
  try {
    texts = await (await fetch(`texts.${encodeURIComponent(lang)}.json`)).json();
  } catch { /* a push must be shown, with or without a connection */ }
  await self.registration.showNotification(texts['notification.title'], {
    body: texts['notification.body'], tag: 'sign-in', renotify: true, requireInteraction: true, icon: 'icon-192.png',
  });
}

self.addEventListener('notificationclick', (event) => {
  event.notification.close();
  event.waitUntil(openPage());
});

async function openPage() {
  const windows = await self.clients.matchAll({ type: 'window', includeUncontrolled: true });
  if (windows.length === 0) {
    await self.clients.openWindow('./');
    return;
  }
  const page = await windows[0].focus();
  page.postMessage('requests');
}
