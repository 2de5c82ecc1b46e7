// Requests to the service. Where it asks for a key, the person is asked for it; it is kept for
// the session of this tab and travels in the Authorization header alone.

import { keptForSession } from "./kept.js";
import { askForKey } from "./key_dialog.js";

const KEPT_AS = "zantara.key";

/** The service's refusal: its `status`, and the `problem` with the seconds to `wait` or null. */
export class Refused extends Error {
  constructor(response, { detail, title, kind }) {
    super(detail ?? title ?? `HTTP ${response.status}`);
    this.status = response.status;
    const wait = Number(response.headers.get("retry-after")) || null;
    this.problem = { detail: this.message, status: this.status, refusal: kind, wait };
  }
}

/** The network failed, before or in the middle of an answer. */
export class Lost extends Error {}

/** So that the next request that needs a key asks for one. */
export function forgetKey() {
  keptForSession.removeItem(KEPT_AS);
}

/** The answer to a request. Throws `Refused`, `Lost`, or an `AbortError`. */
export async function request(path, init = {}) {
  let response = await send(path, init);
  while (response.status === 401) {
    const key = await askForKey(keptForSession.getItem(KEPT_AS) !== null);
    if (key === null) break;
    keptForSession.setItem(KEPT_AS, key);
    response = await send(path, init);
  }
  if (!response.ok) {
    throw new Refused(response, await response.json().catch(() => ({})));
  }
  return response;
}

function send(path, init) {
  const key = keptForSession.getItem(KEPT_AS);
  const headers = { ...init.headers, ...(key === null ? {} : { authorization: `Bearer ${key}` }) };
  return orLost(fetch(path, { ...init, headers, cache: "no-store", redirect: "error" }));
}

/** The result of a network operation, whose TypeError is told from one of ours. */
export function orLost(operation) {
  return operation.catch((error) => {
    throw error instanceof TypeError ? new Lost(error.message) : error;
  });
}
