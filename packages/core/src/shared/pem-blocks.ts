/** A block of a PEM text: a certificate, a key, a revocation list. */
export interface PemBlock {
  /** What its markers say that it is: `CERTIFICATE`, `X509 CRL`. */
  readonly label: string;
  /** What stands between its markers. */
  readonly body: string;
  /** The whole block, with its markers. */
  readonly whole: string;
}

/** What is wrong with the markers of a PEM text. */
export type PemFault =
  /** A marker is not a line of its own, as in files that were joined without a line end. */
  | 'joined'
  /** The text breaks off within a block, or a part of a block is missing. */
  | 'cut';

/** Says what the fault `joined` is. */
export const JOINED =
  'a BEGIN or END marker is not a line of its own, as in files that were joined without a line end';

const MARKER = /-----(?:BEGIN|END) /g;

const MARKER_LINE = /^-----(BEGIN|END) ([^\n-]+)-----\s*$/;

/** How a marker looks that breaks off. */
const CUT_MARKER = /^(?:-{1,5}|-----[BE][A-Z]{0,4}|-----(?:BEGIN|END) [^\n-]*-{0,4})$/;

/** A byte order mark, in a text that was decoded from UTF-8 or from Latin-1. */
const BYTE_ORDER_MARK = /^(?:\uFEFF|\xEF\xBB\xBF)/;

/**
 * Returns the blocks of a PEM text, or what is wrong with its markers. OpenSSL ignores a marker that is not
 * a line of its own, or reads nothing of the text: such a text is refused. White space may stand behind a
 * marker, and a byte order mark in front of a block: OpenSSL accepts both. Other text may stand between
 * blocks.
 */
export function readPemBlocks(text: string): readonly PemBlock[] | PemFault {
  const blocks: PemBlock[] = [];
  let open: { label: string; start: number; bodyStart: number } | undefined;
  /** Where the block before has ended, or the text begins: a byte order mark may stand there. */
  let blocksEnd = 0;
  /** One search for all markers: a file of revocation lists may have millions of lines. */
  for (const { index } of text.matchAll(MARKER)) {
    const lineStart = text.lastIndexOf('\n', index) + 1;
    const lineEnd = endOfLine(text, index);
    const line = text.slice(lineStart, lineEnd);
    const marker = MARKER_LINE.exec(lineStart === blocksEnd ? line.replace(BYTE_ORDER_MARK, '') : line);
    if (marker === null) {
      return lineEnd === text.length && CUT_MARKER.test(line) ? 'cut' : 'joined';
    }
    const [, kind, label = ''] = marker;
    if ((kind === 'BEGIN') !== (open === undefined) || (open !== undefined && open.label !== label)) {
      return 'cut';
    }
    if (open === undefined) {
      open = { label, start: index, bodyStart: lineEnd };
    } else {
      blocks.push({
        label,
        body: text.slice(open.bodyStart, lineStart),
        whole: text.slice(open.start, lineEnd),
      });
      open = undefined;
      blocksEnd = lineEnd + 1;
    }
  }
  const lastLine = text.slice(text.lastIndexOf('\n') + 1);
  return open !== undefined || CUT_MARKER.test(lastLine) ? 'cut' : blocks;
}

function endOfLine(text: string, from: number): number {
  const at = text.indexOf('\n', from);
  return at === -1 ? text.length : at;
}
