"""One study a file: what was measured for a page of docs/reproductions or docs/explanation, and how to measure it again."""
