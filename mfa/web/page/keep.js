// What this browser keeps: the device it is, in IndexedDB, which can hold a key
// that scripts can use and not read.
function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open('radmatch', 1);
    request.onupgradeneeded = () => request.result.createObjectStore('device');
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function transact(mode, f) {
  const db = await open();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = db.transaction('device', mode);
      const request = f(transaction.objectStore('device'));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    db.close();
  }
}

// load returns the record of the device, undefined before it is enrolled: key,
// device, user, name, and what passkey.js and notify.js add.
export const load = () => transact('readonly', (store) => store.get('this'));
export const save = (record) => transact('readwrite', (store) => store.put(record, 'this'));
export const forget = () => transact('readwrite', (store) => store.delete('this'));

// probe fails where this browser cannot keep a key, before an invitation is used up.
export async function probe(key) {
  await transact('readwrite', (store) => store.put(key, 'probe'));
  await transact('readwrite', (store) => store.delete('probe'));
}
