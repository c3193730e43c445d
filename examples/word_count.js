// A Node script that counts the words that are piped to it.
//
// Run: echo "the cat and the hat and the bat" | sandbox-runner run examples/word_count.js
import { createInterface } from "node:readline";

const counts = new Map();
for await (const line of createInterface({ input: process.stdin })) {
  for (const word of line.toLowerCase().match(/[a-z]+/g) ?? []) {
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
}
for (const [word, count] of [...counts].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]))) {
  console.log(`${count} ${word}`);
}
