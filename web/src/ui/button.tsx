import type { ButtonHTMLAttributes } from "preact";
import { Icon, type IconName } from "./icons";

/** A button that is only a picture; `label` is its name and its tooltip. */
export function IconButton({
  icon,
  label,
  shortcut,
  ...rest
}: { icon: IconName; label: string; shortcut?: string } & ButtonHTMLAttributes<HTMLButtonElement>) {
  return (
    <button
      type="button"
      {...rest}
      class={`icon-button ${rest.class ?? ""}`}
      aria-label={label}
      title={shortcut ? `${label} (${shortcut})` : label}
    >
      <Icon name={icon} />
    </button>
  );
}
