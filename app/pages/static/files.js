// Pictures and videos that go with a question, as data URLs.

const MAX_FILES = 8;
const MAX_FILE_BYTES = 5_000_000;
// Of one question's, and of all that is sent: the service takes 12 MB with what was said.
const MAX_BYTES = 8_000_000;
const MAX_CHARACTERS = 11_000_000;
export const KINDS = "image/png,image/jpeg,image/gif,image/webp,video/mp4,video/webm,video/quicktime";

/** Read what was chosen beside `already`: `files`, and the names of those that are too large or too many. */
export async function read(chosen, already) {
  let bytes = already.reduce((sum, { size }) => sum + size, 0);
  const taken = [];
  for (const file of chosen) {
    const full = already.length + taken.length >= MAX_FILES;
    if (full || file.size > MAX_FILE_BYTES || bytes + file.size > MAX_BYTES) continue;
    bytes += file.size;
    taken.push(file);
  }
  const files = await Promise.all(
    taken.map(async (file) => ({ name: file.name, size: file.size, url: await dataUrl(file) })),
  );
  return { files, refused: chosen.filter((file) => !taken.includes(file)).map(({ name }) => name) };
}

/** Of several turns' files, the newest ones that fit into one request. */
export function sent(turns) {
  let files = 0;
  let characters = 0;
  const fits = ({ url }) => {
    files += 1;
    characters += url.length;
    return files <= MAX_FILES && characters <= MAX_CHARACTERS;
  };
  const newestFirst = [...turns].reverse();
  // What an earlier visit kept of a file is its name alone.
  const kept = newestFirst.map((turn) => turn.files.filter((file) => file.url).filter(fits));
  return kept.reverse().map((files) => files.map((file) => file.url));
}

function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
