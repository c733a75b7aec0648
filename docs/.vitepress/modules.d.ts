declare module 'markdown-it-footnote' {
  const footnote: (md: import('vitepress').MarkdownRenderer) => void;
  export default footnote;
}
