import type { IncomingMessage } from 'node:http';

/*
 * How a browser shows its token: a form sends it once, and a cookie that stands for it comes back. So it is in no URL, no history
 * and no script's reach.
 */

/** Cookies are a host's, whatever the port: each server there needs a name of its own. */
function cookieName({ socket }: IncomingMessage): string {
  return `sponge_session_${socket.localPort ?? 0}`;
}

/** A token and its name in a form. */
const MAX_FORM_BYTES = 8 * 1024;

export const LOGIN_PAGE = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Sponge</title></head>
<body>
<form method="post" action="/login">
<label>Token <input type="password" name="token" autocomplete="current-password" required autofocus></label>
<button>Show the dashboard</button>
</form>
</body>
</html>
`;

/** For a browser; a program that asks for the feed or the metrics is told in text. */
export function wantsPage({ headers }: IncomingMessage): boolean {
  return headers.accept?.includes('text/html') === true;
}

/** Lasts until the browser ends, at most as long as the server and the token do. */
export function sessionCookie(request: IncomingMessage, session: string): string {
  const isSecure = 'encrypted' in request.socket;
  return `${cookieName(request)}=${session}; Path=/; HttpOnly; SameSite=Strict${isSecure ? '; Secure' : ''}`;
}

/** Null without one. */
export function sessionFrom(request: IncomingMessage): string | null {
  const own = cookieName(request);
  for (const pair of (request.headers.cookie ?? '').split(';')) {
    const [name, value] = pair.trim().split('=', 2);
    if (name === own) return value ?? null;
  }
  return null;
}

/** Null for what is no such form, and for one that is too large: the connection is then of no more use. */
export function readToken(request: IncomingMessage): Promise<string | null> {
  return new Promise((resolve) => {
    let form = '';
    request.setEncoding('utf8');
    request.on('data', (text: string) => {
      form += text;
      if (form.length > MAX_FORM_BYTES) resolve(null);
    });
    request.on('end', () => resolve(new URLSearchParams(form).get('token')?.trim() ?? null));
    request.on('close', () => resolve(null));
  });
}
