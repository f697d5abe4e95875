// A person with a browser: opens a page of the provider, signs in, agrees to what is asked, and is sent back to the client.
//
// Prints the address that the client would be opened with. Usage: browser.mjs URL

const cookies = new Map();

/** One request of a browser, without following where it leads. */
async function visit(url, form) {
  const response = await fetch(url, {
    method: form ? 'POST' : 'GET',
    body: form && new URLSearchParams(form),
    headers: { cookie: [...cookies].map(pair => pair.join('=')).join('; ') },
    redirect: 'manual',
  });
  for (const cookie of response.headers.getSetCookie()) {
    const [name, value] = cookie.split(';', 1)[0].split('=');
    cookies.set(name, value);
  }
  return response;
}

let url = new URL(process.argv[2]);
const { origin } = url;
let form;
for (let page = 0; page < 20; page += 1) {
  const response = await visit(url, form);
  form = undefined;
  if (response.status >= 300 && response.status < 400) {
    url = new URL(response.headers.get('location'), url);
    if (url.origin !== origin) {
      process.stdout.write(url.href, () => process.exit());
      break;
    }
    continue;
  }
  const html = await response.text();
  const action = html.match(/<form[^>]* action="([^"]+)"/)?.[1];
  const prompt = html.match(/name="prompt" value="([^"]+)"/)?.[1];
  if (!action || !prompt) throw new Error(`${response.status} at ${url}:\n${html.slice(0, 2000)}`);
  url = new URL(action, url);
  form = prompt === 'login' ? { prompt, login: 'alice', password: 'any' } : { prompt };
}
