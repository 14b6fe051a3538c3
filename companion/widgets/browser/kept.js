// Files beside the page that the browser keeps, so that a second visit asks nobody for them.

const STORE = "companion";

/** What the browser keeps; null where it keeps nothing, as on a page that is not served securely. */
async function store() {
  try {
    return await caches.open(STORE);
  } catch {
    return null;
  }
}

/** @param {string[]} addresses */
export async function areKept(addresses) {
  const kept = await store();
  const found = await Promise.all(addresses.map((address) => kept?.match(address)));
  return found.every(Boolean);
}

/**
 * The bytes of a file, from the store or from its address; whole ones are kept.
 *
 * @param {string} address
 * @param {object} how
 * @param {AbortSignal} how.signal
 * @param {(bytes: number) => void} how.expected called once with the length, where it is told
 * @param {(bytes: number) => void} how.arrived called with each part
 * @returns {Promise<ArrayBuffer>}
 */
export async function bytesOf(address, { signal, expected, arrived }) {
  const name = new URL(address).pathname.split("/companion/").pop();
  const failed = (/** @type {string} */ why) => new Error(`${name} could not be loaded: ${why}`);
  const broken = (/** @type {Error} */ problem) => {
    throw problem.name === "AbortError" ? problem : failed("the connection broke");
  };
  const kept = await store();
  const known = await kept?.match(address);
  const response = known ?? (await fetch(address, { signal }).catch(broken));
  if (!response.ok) throw failed(`${response.status} ${response.statusText}`);
  const encoded = response.headers.has("content-encoding"); // then the header counts other bytes
  expected(encoded ? 0 : Number(response.headers.get("content-length")));
  const counter = new TransformStream({
    transform(/** @type {Uint8Array} */ part, controller) {
      arrived(part.length);
      controller.enqueue(part);
    },
  });
  const bytes = await new Response(response.body?.pipeThrough(counter, { signal })).arrayBuffer().catch(broken);
  if (!known) {
    const copy = new Response(bytes, { headers: { "content-length": String(bytes.byteLength) } });
    await kept?.put(address, copy).catch(() => {}); // no room: the next visit loads it again
  }
  return bytes;
}

/**
 * Drop what an earlier build left under an address.
 *
 * @param {string} folder
 * @param {string[]} used
 */
export async function keepOnly(folder, used) {
  const kept = await store();
  for (const { url } of (await kept?.keys()) ?? []) {
    if (url.startsWith(folder) && !used.includes(url)) await kept?.delete(url);
  }
}
