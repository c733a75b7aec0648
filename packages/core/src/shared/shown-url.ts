/** Characters of a URL or an identifier of another party that are shown. */
const MAX_SHOWN = 300;

/**
 * A URL as messages, events and problems show it: without user name, password, query and fragment,
 * which may hold credentials, and 300 characters at most. `'[not a URL]'` for a value that is none.
 */
export function redactUrl(url: string | URL): string {
  const text = String(url);
  if (!URL.canParse(text)) {
    return '[not a URL]';
  }
  const { protocol, host, pathname } = new URL(text);
  return cut(host === '' ? `${protocol}[hidden]` : `${protocol}//${host}${pathname}`);
}

/**
 * Returns a URL exactly as it is written, as the spelling may matter. If it has parts that may hold
 * credentials, returns what `redactUrl()` returns.
 */
export function redactUrlSpelling(url: string): string {
  return /^https?:\/\/[\w.:[\]-]+(\/[\w./~%-]*)?$/i.test(url) ? cut(url) : redactUrl(url);
}

/**
 * Returns an identifier that another party wrote, such as `iss` or `aud`, in its own spelling,
 * which may be what matters. What stands where a URL has user name, password, query and fragment is
 * replaced by `[hidden]`, also if the text is no URL.
 */
export function redactIdentifier(text: string): string {
  const end = text.search(/[?#]/);
  const [path, rest] = end < 0 ? [text, ''] : [text.slice(0, end), `${text[end]}[hidden]`];
  const userInfoEnd = path.lastIndexOf('@');
  const [scheme = ''] = /^[a-z][a-z\d+.-]*:[/\\]{2}/i.exec(path) ?? [];
  return cut(userInfoEnd < 0 ? path + rest : `${scheme}[hidden]${path.slice(userInfoEnd)}${rest}`);
}

/**
 * Shortens a URL of another party, which may have any length. The length of the whole is shown, so that
 * two long URLs are not taken for the same one.
 */
function cut(text: string): string {
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}... (${text.length} characters)` : text;
}

/** Whether a URL carries a user name or a password. False for a value that is no URL. */
export function hasUserInfo(url: string): boolean {
  if (!URL.canParse(url)) {
    return false;
  }
  const { username, password } = new URL(url);
  return username !== '' || password !== '';
}
