// What npm shows of a package has no folders beside it: relative links of its README lead to the repository instead.

/** Returns the text with each relative link as one to a file of the repository, at this tag. `folder` is where the text lies. */
export function absoluteLinks(text, { address, tag, folder }) {
  return text.replaceAll(/\]\((?!#|[a-z]+:)([^)\s]+)\)/g, (_link, target) => {
    const path = new URL(target, `https://repository.invalid/${folder}/`);
    return `](${address}/blob/${tag}${path.pathname}${path.hash})`;
  });
}
