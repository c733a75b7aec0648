// Draws a record. The library wants a document to draw into: linkedom is one without a browser.
import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import type { BenchRecord } from './record.js';

/** An SVG: a bar for each contestant's median, a line across its range. */
export function figureOf({ unit, contestants }: BenchRecord): string {
  const { document } = parseHTML('<html><body></body></html>');
  const bars = Object.entries(contestants).map(([name, { median, min, max }]) => ({
    name,
    median,
    min,
    max,
  }));
  const longest = Math.max(...bars.map(({ name }) => name.length));
  const plot = Plot.plot({
    document,
    width: 720,
    height: 60 + bars.length * 34,
    marginLeft: 24 + longest * 6.4,
    marginRight: 60,
    style: { background: 'white', color: '#222', fontSize: '12px' },
    x: { label: unit, grid: true, zero: true, nice: true },
    y: { label: null, domain: bars.map(({ name }) => name) },
    marks: [
      Plot.barX(bars, {
        y: 'name',
        x: 'median',
        fill: (bar) => (bar.name.includes('mtls') ? '#2a6f97' : '#b8c4cc'),
      }),
      Plot.ruleY(bars, { y: 'name', x1: 'min', x2: 'max', stroke: '#222', strokeWidth: 1.5 }),
      Plot.text(bars, {
        y: 'name',
        x: 'max',
        text: (bar) => bar.median.toLocaleString('en', { maximumSignificantDigits: 4 }),
        textAnchor: 'start',
        dx: 6,
      }),
      Plot.ruleX([0]),
    ],
  } as Plot.PlotOptions);
  plot.setAttribute('xmlns', 'http://www.w3.org/2000/svg');
  return `${plot.outerHTML}\n`;
}
