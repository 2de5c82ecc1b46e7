// Has a conversation through the Vercel AI SDK, as `useChat` does, and prints how it stands.
// Arguments: the address of /api/chat, and JSON {body, steps: [{say, files?} | {regenerate} | {say, stop}]}.

import { AbstractChat, DefaultChatTransport } from "ai";

/** What `useChat` keeps in React's state, kept in plain fields. */
class PlainState {
  status = "ready";
  error = undefined;
  messages = [];
  onChange = () => {};
  pushMessage(message) {
    this.messages = [...this.messages, message];
    this.onChange();
  }
  popMessage() {
    this.messages = this.messages.slice(0, -1);
  }
  replaceMessage(index, message) {
    this.messages = this.messages.with(index, message);
    this.onChange();
  }
  snapshot(thing) {
    return structuredClone(thing);
  }
}

class PlainChat extends AbstractChat {}

const [api, plan] = process.argv.slice(2);
const { body, steps } = JSON.parse(plan);
const state = new PlainState();
const chat = new PlainChat({
  state,
  transport: new DefaultChatTransport({ api, body }),
  onError: () => {},
});

for (const step of steps) {
  const isText = (part) => part.type === "text" && part.text;
  state.onChange = () => {
    const last = state.messages.at(-1);
    if (step.stop && last.role === "assistant" && last.parts.some(isText)) chat.stop();
  };
  await (step.regenerate ? chat.regenerate() : chat.sendMessage({ text: step.say, files: step.files }));
}
const { status, error, messages } = state;
console.log(JSON.stringify({ status, error: error?.message ?? null, messages }));
