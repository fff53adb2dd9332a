import katex from "katex";
import { useLayoutEffect, useRef } from "preact/hooks";

// A formula longer than this is none that a person wrote, and KaTeX's time grows with it.
const longest = 20_000;

/**
 * A formula set by KaTeX, which builds elements and no HTML text. Without trust it makes neither
 * links nor images nor attributes. What it cannot set is shown as it was written.
 */
export function Formula({ tex, source, display }: { tex: string; source: string; display: boolean }) {
  const ref = useRef<HTMLSpanElement>(null);
  useLayoutEffect(() => {
    const element = ref.current!;
    element.classList.remove("broken");
    try {
      if (tex.length > longest) throw new Error("too long");
      katex.render(tex, element, { displayMode: display, trust: false, strict: false, maxSize: 50, maxExpand: 1000 });
    } catch {
      element.textContent = source;
      element.classList.add("broken");
    }
  }, [tex, source, display]);
  return <span ref={ref} class={display ? "formula display" : "formula"} tabIndex={display ? 0 : undefined} />;
}
