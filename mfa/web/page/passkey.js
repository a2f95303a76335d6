// Passkeys: WebAuthn with user verification, which confirms each approval.
import { decode, encode } from './protocol.js';
import { save } from './keep.js';

// offered reports whether this browser can make a passkey for this address. A
// relying party has a name: an address like 127.0.0.1 is none.
export const offered = () => 'PublicKeyCredential' in window && !/^[\d.]+$|^\[/.test(location.hostname);

// WebAuthn's JSON is read and written by hand: the methods for it are missing
// in Safari before 18.4 and Chrome before 129.
const withBytes = (list) => (list ?? []).map((c) => ({ ...c, id: decode(c.id) }));

function json(credential, response) {
  return { id: credential.id, rawId: encode(credential.rawId), type: credential.type, response,
    clientExtensionResults: {} };
}

// register makes a passkey for the device and notes it in the device's record.
export async function register(device) {
  const { publicKey } = await device.call('POST', '/api/v1/passkey/options', {});
  const credential = await navigator.credentials.create({ publicKey: {
    ...publicKey,
    challenge: decode(publicKey.challenge),
    user: { ...publicKey.user, id: decode(publicKey.user.id) },
    excludeCredentials: withBytes(publicKey.excludeCredentials),
  } });
  const { response } = credential;
  const { passkey } = await device.call('POST', '/api/v1/passkey', json(credential, {
    attestationObject: encode(response.attestationObject),
    clientDataJSON: encode(response.clientDataJSON),
    transports: response.getTransports?.() ?? [],
  }));
  device.record.passkey = passkey;
  await save(device.record);
}

// confirmation returns what asks the user for the device's passkey, undefined
// where it has none.
export const confirmation = (device) => (device.record.passkey ? (challenge) => confirm(device, challenge) : undefined);

// confirm returns an assertion over the challenge by the device's passkey.
async function confirm(device, challenge) {
  const credential = await navigator.credentials.get({ publicKey: {
    challenge,
    allowCredentials: [{ type: 'public-key', id: decode(device.record.passkey) }],
    userVerification: 'required',
    timeout: 60_000,
  } });
  const { response } = credential;
  return json(credential, {
    authenticatorData: encode(response.authenticatorData),
    clientDataJSON: encode(response.clientDataJSON),
    signature: encode(response.signature),
    userHandle: response.userHandle ? encode(response.userHandle) : undefined,
  });
}
