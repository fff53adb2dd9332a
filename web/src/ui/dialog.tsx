import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { IconButton } from "./button";

/** A modal dialog of the browser: it keeps the focus inside and Escape closes it. */
export function Dialog({
  title,
  kind,
  onClose,
  children,
}: {
  title: string;
  kind: "drawer" | "box" | "page";
  onClose: () => void;
  children: ComponentChildren;
}) {
  const ref = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    ref.current!.showModal();
    return () => before?.focus();
  }, []);
  return (
    <dialog
      ref={ref}
      class={`dialog ${kind}`}
      aria-label={title}
      onClose={onClose}
      // A click on the backdrop is a click on the dialog itself, outside its content.
      onPointerDown={(event) => event.target === ref.current && ref.current!.close()}
    >
      <div class="dialog-body">
        <header>
          <h2>{title}</h2>
          <IconButton icon="close" label="Close" onClick={() => ref.current!.close()} />
        </header>
        {children}
      </div>
    </dialog>
  );
}
