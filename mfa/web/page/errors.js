// What a person is told of an error.
import { Refusal } from './protocol.js';
import { has, t } from './text.js';

export function explain(err) {
  if (!(err instanceof Refusal)) {
    // What fetch says of a connection that failed is no text for a person.
    return t('error.network');
  }
  return has(`error.${err.code}`) ? t(`error.${err.code}`) : err.message;
}
