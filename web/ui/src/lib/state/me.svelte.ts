// Who looks at the page, as the server knows him; asked for once.
import { api, ok } from '../api/client';

class Me {
  /** Empty for who runs the server, undefined until it is known. */
  user: string | undefined = $state();
  #asked = false;

  ask() {
    if (this.#asked) return;
    this.#asked = true;
    ok(api.GET('/me')).then(
      ({ user }) => (this.user = user ?? ''),
      () => (this.#asked = false),
    );
  }

  /** Whether a session is another person's, who alone may end it. */
  others(owner: string | undefined): boolean {
    return !!owner && !!this.user && owner !== this.user;
  }
}

export const me = new Me();
