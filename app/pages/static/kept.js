// What this browser keeps of the pages; where it may keep nothing, only while the page is open.

export const kept = storage("localStorage");
export const keptForSession = storage("sessionStorage");

function storage(name) {
  try {
    return window[name];
  } catch {
    const values = new Map(); // the browser was told to block all of a site's data
    return {
      getItem: (key) => values.get(key) ?? null,
      setItem: (key, value) => values.set(key, value),
      removeItem: (key) => values.delete(key),
    };
  }
}
