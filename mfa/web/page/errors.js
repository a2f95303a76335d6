// What a user is told of an error.
import { Refusal } from './protocol.js';
import { has, t } from './text.js';

export function explain(err) {
  if (!(err instanceof Refusal)) {
    // What fetch says of a connection that failed is no text for a user.
    return t('error.network');
  }
  // Nor is what the server says: it is in English, and for who writes a device.
  return t(has(`error.${err.code}`) ? `error.${err.code}` : 'error.other');
}
