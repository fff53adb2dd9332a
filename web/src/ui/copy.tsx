import { useRef, useState } from "preact/hooks";
import { announcement, notify } from "../state/notices";
import { IconButton } from "./button";

/** Pages that are neither on https nor on localhost have no clipboard; the old command still works there. */
function copyBySelection(text: string): boolean {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  return copied;
}

export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

export function CopyButton({ text, label }: { text: string; label: string }) {
  const [copied, setCopied] = useState(false);
  const timer = useRef<number>(undefined);
  const copy = async () => {
    if (!(await copyText(text))) return notify("The browser did not let the page copy.", "bad");
    announcement.value = "Copied.";
    setCopied(true);
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => setCopied(false), 1500);
  };
  return <IconButton icon={copied ? "check" : "copy"} label={label} onClick={copy} class="copy" />;
}
