/** Line drawings on a grid of 24, in the colour of the text around them. They say nothing: buttons carry labels. */
const paths = {
  arrowDown: "M12 5v14M6 13l6 6 6-6",
  branchBack: "M15 5l-7 7 7 7",
  branchOn: "M9 5l7 7-7 7",
  brain: "M12 5a3.5 3.5 0 0 0-6.6 1.6A3.4 3.4 0 0 0 4 12.6 3.6 3.6 0 0 0 7.4 18 2.6 2.6 0 0 0 12 18zM12 5a3.5 3.5 0 0 1 6.6 1.6 3.4 3.4 0 0 1 1.4 6A3.6 3.6 0 0 1 16.6 18 2.6 2.6 0 0 1 12 18zM12 5v13M8.5 9.5a2 2 0 0 0 1.8-1M15.5 9.5a2 2 0 0 1-1.8-1M8 14.5a2 2 0 0 1 2 1M16 14.5a2 2 0 0 0-2 1",
  check: "M5 13l4.5 4.5L19 7",
  close: "M6 6l12 12M18 6L6 18",
  copy: "M9 9h10v11H9zM5 15V4h10",
  dots: "M5 12h.01M12 12h.01M19 12h.01",
  edit: "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
  grid: "M4 4h6v6H4zM14 4h6v6h-6zM4 14h6v6H4zM14 14h6v6h-6z",
  help: "M9.2 9a3 3 0 1 1 4.3 2.7c-1 .5-1.5 1.1-1.5 2.3M12 17.5h.01M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z",
  menu: "M4 7h16M4 12h16M4 17h16",
  moon: "M20 14.5A8.3 8.3 0 0 1 9.5 4 8.3 8.3 0 1 0 20 14.5z",
  panel: "M4 5h16v14H4zM10 5v14",
  plus: "M12 5v14M5 12h14",
  retry: "M4 12a8 8 0 1 0 2.6-5.9L4 8.5M4 4v4.5h4.5",
  search: "M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM20 20l-4-4",
  send: "M12 19V5M6 11l6-6 6 6",
  sliders: "M4 7h9M19 7h1M16 4.5v5M4 17h3M13 17h7M10 14.5v5",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 3v1.5M12 19.5V21M3 12h1.5M19.5 12H21M5.6 5.6l1.1 1.1M17.3 17.3l1.1 1.1M5.6 18.4l1.1-1.1M17.3 6.7l1.1-1.1",
  system: "M4 5h16v11H4zM9 20h6M12 16v4",
  download: "M12 4v11M7 10.5l5 5 5-5M5 20h14",
  upload: "M12 15V4M7 8.5l5-5 5 5M5 20h14",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10 11v5M14 11v5",
  warning: "M12 4L2.5 20h19zM12 10v5M12 17.5h.01",
} as const;

export type IconName = keyof typeof paths;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class={`icon icon-${name}`} viewBox="0 0 24 24" aria-hidden="true">
      <path d={paths[name]} />
    </svg>
  );
}
