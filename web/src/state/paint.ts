export interface Painter {
  /** There is something to draw. */
  request(): void;
  /** What was requested and not drawn yet is dropped. */
  cancel(): void;
}

/**
 * Calls `draw` at most once a frame, and seldom enough that drawing takes a fifth of the time: one
 * very long block, which is rendered anew each time, then shows in larger steps and the page stays
 * quick.
 */
export function painter(draw: () => void): Painter {
  let state: "idle" | "scheduled" | "drawing" = "idle";
  let again = false;
  let cancelled = false;
  let earliest = 0;

  function paint(): void {
    if (cancelled) return;
    state = "drawing";
    const start = performance.now();
    draw();
    // A task that is posted here runs after the frame is on the screen, so that layout counts too.
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      const now = performance.now();
      earliest = now + 4 * (now - start);
      state = "idle";
      if (again) request();
    };
    port2.postMessage(null);
  }

  function request(): void {
    again = state === "drawing";
    if (state !== "idle") return;
    state = "scheduled";
    const wait = earliest - performance.now();
    if (wait > 16) setTimeout(() => requestAnimationFrame(paint), wait);
    else requestAnimationFrame(paint);
  }

  return {
    request,
    cancel: () => {
      cancelled = true;
    },
  };
}
