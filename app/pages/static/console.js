// The console: asks for the service's state over and over, and changes its documents.

import { view } from "./console_view.js";
import { PAGE } from "./documents_view.js";
import { filled, setLanguage, text } from "./language.js";
import { Lost, Refused, forgetKey, request } from "./service.js";
import { render } from "./vendor/lit-html-3.3.3/lit-html.js";

const EVERY_MS = 2000;

// `refused` is the status with which the service refused the console: 401 or 403, or null.
const state = { service: null, reachable: true, refused: null, documents: null, offset: 0, notes: [], busy: false };

const actions = {
  async upload(form) {
    state.busy = true;
    state.notes = [];
    for (const file of form.elements.file.files) await send(file, form);
    state.busy = false;
    form.reset();
    await list();
  },
  async remove(id) {
    if (!confirm(text("confirmRemove", { id }))) return;
    const path = id.split("/").map(encodeURIComponent).join("/");
    state.notes = [
      await told(
        request(`/documents/${path}`, { method: "DELETE" }),
        () => text("deleted", { id }),
        (reason) => text("notDeleted", { id, reason }),
      ),
    ];
    await list();
  },
  async turn(offset) {
    state.offset = offset;
    await list();
  },
  async useAnotherKey() {
    forgetKey();
    state.notes = [];
    await look();
    if (!state.refused) await list();
  },
  speak(code) {
    setLanguage(code);
    draw();
  },
};

async function send(file, form) {
  const body = new FormData();
  body.set("file", file);
  if (form.elements.collection.value) body.set("collection", form.elements.collection.value);
  if (form.elements.force.checked) body.set("force", "true");
  const { name } = file;
  state.notes.push(text("uploading", { name }));
  draw();
  state.notes.splice(
    -1,
    1,
    await told(
      request("/documents", { method: "POST", body }),
      ({ change, id }) => filled(text("uploaded")[change], { name, id }),
      (reason) => text("refused", { name, reason }),
    ),
  );
  draw();
}

/** What follows from an answer, or from the reason why there is none. */
async function told(sent, well, badly) {
  try {
    const response = await sent;
    return well(response.status === 204 ? null : await response.json());
  } catch (error) {
    if (error instanceof Lost) return badly(text("lost"));
    if (error instanceof Refused) return badly(error.message);
    throw error;
  }
}

async function list() {
  await told(
    request(`/documents?limit=${PAGE}&offset=${state.offset}`),
    (documents) => (state.documents = documents),
    (reason) => state.notes.push(reason),
  );
  draw();
}

async function look() {
  try {
    const response = await request("/console/state");
    state.service = await response.json();
    state.reachable = true;
    state.refused = null;
  } catch (error) {
    if (!(error instanceof Lost || error instanceof Refused)) throw error;
    if ([401, 403].includes(error.status)) state.refused = error.status;
    else state.reachable = false;
  }
  draw();
}

async function watch() {
  for (;;) {
    // A key that was refused is not sent over and over, nor is another asked for unbidden.
    if (!document.hidden && !state.refused) await look();
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}

function draw() {
  render(view(state, actions), document.body);
}

draw();
watch();
await list();
