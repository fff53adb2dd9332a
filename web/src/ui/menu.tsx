import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { Icon, type IconName } from "./icons";

export interface MenuItem {
  label: string;
  icon: IconName;
  run: () => void;
  danger?: boolean;
}

const margin = 8;

/** A button that opens a list of commands: arrow keys, Home and End move, Escape closes. */
export function Menu({ label, items, children }: { label: string; items: MenuItem[]; children: ComponentChildren }) {
  const [place, setPlace] = useState<{ top: number; left: number } | null>(null);
  const button = useRef<HTMLButtonElement>(null);
  const list = useRef<HTMLDivElement>(null);

  const close = (refocus: boolean) => {
    setPlace(null);
    if (refocus) button.current?.focus();
  };

  useLayoutEffect(() => {
    if (!place) return;
    // The list is fixed to the window, so that no scrolling frame cuts it off; it opens where there is room.
    const { width, height } = list.current!.getBoundingClientRect();
    const top = place.top + height > innerHeight - margin ? place.top - height - button.current!.offsetHeight - 8 : place.top;
    list.current!.style.top = `${Math.max(margin, top)}px`;
    list.current!.style.left = `${Math.max(margin, Math.min(place.left, innerWidth - width - margin))}px`;
    list.current!.querySelector("button")?.focus();
    const outside = (event: Event) => {
      if (!list.current?.contains(event.target as Node) && !button.current?.contains(event.target as Node)) close(false);
    };
    document.addEventListener("pointerdown", outside);
    window.addEventListener("resize", outside);
    return () => {
      document.removeEventListener("pointerdown", outside);
      window.removeEventListener("resize", outside);
    };
  }, [place]);

  const onKeyDown = (event: KeyboardEvent) => {
    const buttons = [...list.current!.querySelectorAll("button")];
    const at = buttons.indexOf(document.activeElement as HTMLButtonElement);
    const target = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (target !== undefined) {
      buttons.at(target % buttons.length)?.focus();
    } else if (event.key === "Escape" || event.key === "Tab") {
      close(true);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  };

  const toggle = () => {
    if (place) return close(false);
    const box = button.current!.getBoundingClientRect();
    setPlace({ top: box.bottom + 4, left: box.left });
  };

  return (
    <span class="menu">
      <button
        ref={button}
        type="button"
        class="icon-button"
        aria-label={label}
        title={label}
        aria-haspopup="menu"
        aria-expanded={place !== null}
        onClick={toggle}
      >
        {children}
      </button>
      {place && (
        <div ref={list} class="menu-list" role="menu" aria-label={label} onKeyDown={onKeyDown}>
          {items.map(({ label: name, icon, run, danger }) => (
            <button
              key={name}
              type="button"
              role="menuitem"
              tabIndex={-1}
              class={danger ? "danger" : undefined}
              onClick={() => {
                close(true);
                run();
              }}
            >
              <Icon name={icon} />
              {name}
            </button>
          ))}
        </div>
      )}
    </span>
  );
}
