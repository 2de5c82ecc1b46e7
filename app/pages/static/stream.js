// Named server-sent events of a response to a POST, which EventSource cannot make.

import { orLost } from "./service.js";
import { createParser } from "./vendor/eventsource-parser-3.1.1/eventsource-parser.js";

/** Yields `{name, data}`, with `data` parsed from JSON, as they come. */
export async function* sentEvents(response) {
  let arrived = [];
  const parser = createParser({
    onEvent: ({ event, data }) => arrived.push({ name: event, data: JSON.parse(data) }),
  });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await orLost(reader.read());
    if (done) return;
    parser.feed(value);
    yield* arrived;
    arrived = [];
  }
}
