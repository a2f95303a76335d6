// What this browser keeps: the devices that it is, one an account, in IndexedDB,
// which can hold keys that scripts can use and not read.
function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open('radmatch', 1);
    request.onupgradeneeded = () => request.result.createObjectStore('device');
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

// transact runs f, which may await only requests of the store, and returns what
// f does once it is on disk.
async function transact(mode, f) {
  const db = await open();
  try {
    const transaction = db.transaction('device', mode);
    const done = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
    });
    const [result] = await Promise.all([f(transaction.objectStore('device')), done]);
    return result;
  } finally {
    db.close();
  }
}

const asked = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

// A page that knew only one account kept it under this name. The first account
// stays there, so that pages of both kinds find it; others are under their ids.
const first = 'this';

// place returns the name under which a device is kept, or is to be.
async function place(store, device) {
  const there = await asked(store.get(first));
  if (there?.device === device) return first;
  if (there || await asked(store.getKey(device))) return device;
  return first;
}

// load returns the records of all devices that this browser is, the oldest first:
// key, device, user, name, and what passkey.js and notify.js add.
export const load = () => transact('readonly', async (store) => {
  const records = await asked(store.getAll());
  return records.filter((record) => record?.device).sort((a, b) => (a.added ?? 0) - (b.added ?? 0));
});

export const save = (record) => transact('readwrite', async (store) => {
  await asked(store.put(record, await place(store, record.device)));
});

export const forget = (device) => transact('readwrite', async (store) => {
  await asked(store.delete(await place(store, device)));
});

// probe fails where this browser cannot keep a key, before an invitation is used up.
export async function probe(key) {
  await transact('readwrite', (store) => asked(store.put(key, 'probe')));
  await transact('readwrite', (store) => asked(store.delete('probe')));
}
