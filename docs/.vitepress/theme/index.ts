import mermaidScript from '@mermaid-js/tiny/dist/mermaid.tiny.js?url';
import { onContentUpdated, type Theme } from 'vitepress';
import DefaultTheme from 'vitepress/theme';
import './style.css';

interface Mermaid {
  initialize(options: { startOnLoad: boolean; theme: string }): void;
  run(options: { nodes: Iterable<HTMLElement> }): Promise<void>;
}

let loading: Promise<Mermaid> | undefined;

/** Loads mermaid on the first page that has a picture. */
function loadMermaid(): Promise<Mermaid> {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.src = mermaidScript;
    script.onload = () => resolve((globalThis as unknown as { mermaid: Mermaid }).mermaid);
    script.onerror = () => reject(new Error('mermaid could not be loaded'));
    document.head.append(script);
  });
  return loading;
}

/** Mermaid fails if the reader leaves the page while it draws. */
async function draw(mermaid: Mermaid, node: HTMLElement): Promise<void> {
  if (node.isConnected) {
    try {
      await mermaid.run({ nodes: [node] });
    } catch (error) {
      if (node.isConnected) {
        throw error;
      }
    }
  }
}

async function drawPictures(): Promise<void> {
  const nodes = document.querySelectorAll<HTMLElement>('pre.mermaid:not([data-processed])');
  if (nodes.length > 0) {
    const mermaid = await loadMermaid();
    const theme = document.documentElement.classList.contains('dark') ? 'dark' : 'neutral';
    mermaid.initialize({ startOnLoad: false, theme });
    for (const node of nodes) {
      await draw(mermaid, node);
    }
  }
}

const theme: Theme = {
  extends: DefaultTheme,
  setup() {
    onContentUpdated(() => void drawPictures());
  },
};
export default theme;
