import { effect } from "@preact/signals";
import { render } from "preact";
import "katex/dist/katex.css";
import "./style/base.css";
import "./style/layout.css";
import "./style/thread.css";
import "./style/run.css";
import "./style/markdown.css";
import "./style/dialogs.css";
import { conversations, open, start } from "./state/conversations";
import { loadModels } from "./state/models";
import { App } from "./ui/app";
import { listenForShortcuts } from "./ui/shortcuts";

await start();
render(<App />, document.body);
listenForShortcuts();
effect(() => {
  const { id, title } = open.value;
  document.title = conversations.value.some((one) => one.id === id) ? `${title} – zaya` : "zaya";
});
await loadModels();
