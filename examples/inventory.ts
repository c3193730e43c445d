// TypeScript: says what must be ordered, from a data file.
//
// Run: sandbox-runner run --file examples/inventory.json examples/inventory.ts
import { readFile } from "node:fs/promises";

interface Part {
  name: string;
  stock: number;
  reorderAt: number;
}

function missing(part: Part): number {
  return Math.max(0, part.reorderAt - part.stock);
}

const parts: Part[] = JSON.parse(await readFile("inventory.json", "utf8"));
for (const part of parts.filter((part) => missing(part) > 0)) {
  console.log(`order ${missing(part)} of ${part.name}`);
}
