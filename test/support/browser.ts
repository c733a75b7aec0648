import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import WebSocket from 'ws';
import { commandUntilInputCloses } from './background-program.js';

/** A page in a headless Chromium, steered by the DevTools protocol. */
export interface BrowserPage {
  goTo(url: string): Promise<void>;
  /** Evaluates an expression in the page. */
  evaluate(expression: string): Promise<unknown>;
  /** Evaluates an expression until it is truthy, for 30 seconds at most. */
  waitFor(expression: string): Promise<void>;
  /** Types into the element that has the focus. */
  type(text: string): Promise<void>;
  screenshot(file: string): Promise<void>;
  /** The URLs that the page asked for. */
  readonly requested: readonly string[];
  /** What went wrong in the page: thrown errors, failed requests, errors on its console. */
  readonly troubles: readonly string[];
  close(): Promise<void>;
}

interface Message {
  readonly id?: number;
  readonly method?: string;
  // biome-ignore lint/suspicious/noExplicitAny: the protocol has hundreds of shapes
  readonly params?: any;
  // biome-ignore lint/suspicious/noExplicitAny: the protocol has hundreds of shapes
  readonly result?: any;
  readonly error?: { readonly message: string };
}

/** Starts Debian's Chromium with a profile of its own. It ends with `close`, or with the test run. */
export async function openBrowser(program: string): Promise<BrowserPage> {
  const profile = mkdtempSync(join(tmpdir(), 'mtls-bound-chromium-'));
  const args = [
    '--headless=new',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-dev-shm-usage',
    '--no-first-run',
    '--window-size=1400,1000',
    '--remote-debugging-port=0',
    `--user-data-dir=${profile}`,
    'about:blank',
  ];
  const child = spawn('/bin/sh', commandUntilInputCloses(program, args), {
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  const exited = once(child, 'exit');
  let endpoint = '';
  for await (const line of createInterface({ input: child.stderr })) {
    endpoint = /^DevTools listening on (ws:\S+)/.exec(line)?.[1] ?? '';
    if (endpoint !== '') {
      break;
    }
  }
  child.stderr.resume();
  const socket = new WebSocket(endpoint, { perMessageDeflate: false });
  await once(socket, 'open');

  let last = 0;
  let session: string | undefined;
  const waiting = new Map<number, (message: Message) => void>();
  const requested: string[] = [];
  const troubles: string[] = [];
  socket.on('message', (text) => {
    const message = JSON.parse(String(text)) as Message;
    waiting.get(message.id ?? 0)?.(message);
    const { method, params } = message;
    if (method === 'Network.requestWillBeSent' && !params.request.url.startsWith('data:')) {
      requested.push(params.request.url);
    } else if (method === 'Runtime.exceptionThrown') {
      troubles.push(params.exceptionDetails.exception?.description ?? params.exceptionDetails.text);
    } else if (method === 'Log.entryAdded' && params.entry.level === 'error') {
      troubles.push(`${params.entry.text} ${params.entry.url ?? ''}`);
    }
  });

  // biome-ignore lint/suspicious/noExplicitAny: the protocol has hundreds of shapes
  async function send(method: string, params: object = {}): Promise<any> {
    last += 1;
    const id = last;
    const answered = new Promise<Message>((resolve) => waiting.set(id, resolve));
    socket.send(
      JSON.stringify({ id, method, params, ...(session === undefined ? {} : { sessionId: session }) }),
    );
    const { result, error } = await answered;
    waiting.delete(id);
    if (error !== undefined) {
      throw new Error(`${method}: ${error.message}`);
    }
    return result;
  }

  const { targetId } = await send('Target.createTarget', { url: 'about:blank' });
  ({ sessionId: session } = await send('Target.attachToTarget', { targetId, flatten: true }));
  for (const domain of ['Page', 'Runtime', 'Network', 'Log']) {
    await send(`${domain}.enable`);
  }

  const evaluate = async (expression: string): Promise<unknown> => {
    const { result, exceptionDetails } = await send('Runtime.evaluate', {
      expression,
      returnByValue: true,
      awaitPromise: true,
    });
    if (exceptionDetails !== undefined) {
      throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    }
    return result.value;
  };
  const waitFor = async (expression: string): Promise<void> => {
    const until = Date.now() + 30_000;
    while (!(await evaluate(expression))) {
      if (Date.now() > until) {
        throw new Error(`never true in the page: ${expression}`);
      }
      await sleep(50);
    }
  };

  return {
    requested,
    troubles,
    evaluate,
    waitFor,
    async goTo(url) {
      await send('Page.navigate', { url });
      await waitFor(`location.href === ${JSON.stringify(url)} && document.readyState === 'complete'`);
    },
    async type(text) {
      await send('Input.insertText', { text });
    },
    async screenshot(file) {
      const { data } = await send('Page.captureScreenshot', { format: 'png' });
      writeFileSync(file, Buffer.from(data, 'base64'));
    },
    async close() {
      socket.terminate();
      child.stdin.end();
      await exited;
      await removeProfile(profile);
    },
  };
}

/** Processes of the browser write into its profile for some time after the browser itself has ended. */
async function removeProfile(profile: string): Promise<void> {
  const until = Date.now() + 15_000;
  for (;;) {
    try {
      rmSync(profile, { recursive: true, force: true });
      return;
    } catch (error) {
      if (Date.now() > until) {
        throw error;
      }
      await sleep(250);
    }
  }
}
