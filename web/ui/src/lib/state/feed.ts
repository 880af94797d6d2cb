// The events of a session, read once for all tabs. Browsers open six
// connections to a host at most, and each event stream holds one; so one tab
// (the holder of a Web Lock) reads the stream and tells the others by a
// BroadcastChannel. When it closes, the next one takes the lock.
import { base, type SessionEvent } from '../api/client';

export type Connection = 'connecting' | 'live' | 'lost' | 'over';

type Message = { event: SessionEvent } | { connection: Connection } | { hello: true };

export class Feed {
  #last = 0;
  #source: EventSource | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #channel: BroadcastChannel | undefined;
  #stop = new AbortController();
  #connection: Connection = 'connecting';
  #leading = false;
  #wait = 1000;

  constructor(
    private readonly session: string,
    private readonly onEvent: (event: SessionEvent) => void,
    private readonly onConnection: (connection: Connection) => void,
  ) {
    if (!('locks' in navigator) || !('BroadcastChannel' in window)) {
      this.#lead();
      return;
    }
    this.#channel = new BroadcastChannel('snapview-' + session);
    this.#channel.onmessage = (message: MessageEvent<Message>) => this.#hear(message.data);
    this.#channel.postMessage({ hello: true } satisfies Message);
    navigator.locks
      .request('snapview-events-' + session, { signal: this.#stop.signal }, () => {
        this.#lead();
        return new Promise<void>((done) => this.#stop.signal.addEventListener('abort', () => done()));
      })
      .catch(() => undefined); // aborted before it was granted
  }

  close() {
    this.#stop.abort();
    clearTimeout(this.#retry);
    this.#source?.close();
    this.#channel?.close();
  }

  #hear(message: Message) {
    if ('hello' in message) {
      if (this.#leading) this.#channel?.postMessage({ connection: this.#connection } satisfies Message);
    } else if ('connection' in message) {
      if (!this.#leading) this.onConnection(message.connection);
    } else this.#take(message.event);
  }

  #take(event: SessionEvent) {
    if (event.id <= this.#last) return;
    this.#last = event.id;
    this.onEvent(event);
  }

  #say(connection: Connection) {
    this.#connection = connection;
    this.onConnection(connection);
    this.#channel?.postMessage({ connection } satisfies Message);
  }

  #lead() {
    if (this.#stop.signal.aborted) return;
    this.#leading = true;
    const source = new EventSource(`${base}/sessions/${encodeURIComponent(this.session)}/events?after=${this.#last}`);
    this.#source = source;
    source.onopen = () => {
      this.#wait = 1000;
      this.#say('live');
    };
    source.onerror = () => {
      if (this.#connection === 'over') return;
      this.#say('lost');
      if (source.readyState !== EventSource.CLOSED) return; // the browser tries again
      source.close();
      clearTimeout(this.#retry);
      this.#retry = setTimeout(() => this.#lead(), this.#wait);
      this.#wait = Math.min(this.#wait * 2, 10_000);
    };
    const take = (message: MessageEvent<string>) => {
      const event = JSON.parse(message.data) as SessionEvent;
      this.#take(event);
      this.#channel?.postMessage({ event } satisfies Message);
      if (event.type === 'closed') {
        this.#say('over');
        source.close();
      }
    };
    for (const type of ['phase', 'state', 'overlay', 'hold', 'warning', 'closing', 'closed']) source.addEventListener(type, take);
  }
}
