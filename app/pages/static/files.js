// Pictures and videos that go with a question, as data URLs.

const MAX_FILES = 8;
const MAX_FILE_BYTES = 5_000_000;
// Of all that is sent; the service takes 12 MB with what was said.
const MAX_CHARACTERS = 11_000_000;
export const KINDS = "image/png,image/jpeg,image/gif,image/webp,video/mp4,video/webm,video/quicktime";

/** Read what was chosen: `files`, and the names of those that are too large or too many. */
export async function read(chosen) {
  const fits = (file, n) => n < MAX_FILES && file.size <= MAX_FILE_BYTES;
  const taken = [...chosen].filter(fits);
  const files = await Promise.all(taken.map(async (file) => ({ name: file.name, url: await dataUrl(file) })));
  const refused = [...chosen].filter((file, n) => !fits(file, n)).map((file) => file.name);
  return { files, refused };
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
