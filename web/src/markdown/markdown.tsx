import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { type Block, GrowingMarkdown } from "./parse";
import { BlockView } from "./render";

// New blocks of a frame. A long answer out of storage would otherwise be rendered in one go, and its
// formulas alone take a second.
const blocksPerFrame = 24;

/** Text of a model as Markdown. While `text` grows, only its last block is rendered again. */
export function Markdown({ text }: { text: string }) {
  const growing = useRef(new GrowingMarkdown());
  const seen = useRef<{ text: string; blocks: readonly Block[] }>({ text: "", blocks: [] });
  if (seen.current.text !== text) seen.current = { text, blocks: growing.current.update(text) };

  const [limit, setLimit] = useState(blocksPerFrame);
  const { blocks } = seen.current;
  useLayoutEffect(() => {
    if (blocks.length <= limit) return;
    const frame = requestAnimationFrame(() => setLimit(limit + blocksPerFrame));
    return () => cancelAnimationFrame(frame);
  });
  return (
    <div class="markdown">
      {blocks.slice(0, limit).map((block) => (
        <BlockView key={block.start} block={block} />
      ))}
    </div>
  );
}
