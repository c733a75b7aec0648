// The authorization server reminds of its development defaults, which are no part of the story.
console.info = console.warn = () => undefined;
