import type { Conversation } from "../conversation/tree";
import { fileName, save, toJson, toMarkdown } from "../conversation/transfer";
import { stop } from "../state/answering";
import { removeConversation, whole } from "../state/conversations";
import { listShown } from "../state/preferences";
import type { MenuItem } from "./menu";
import { isNarrow, listOpen, renaming } from "./view";

export function conversationMenu(conversation: Conversation): MenuItem[] {
  const { id, title } = conversation;
  const exportMarkdown = async () =>
    save(fileName(title, "md"), "text/markdown", toMarkdown(await whole(conversation)));
  const exportJson = async () => save(fileName(title, "json"), "application/json", toJson([await whole(conversation)]));
  const remove = () => {
    stop(id);
    void removeConversation(conversation);
  };
  // The title is typed where it stands: in the list.
  const rename = () => {
    (isNarrow() ? listOpen : listShown).value = true;
    renaming.value = id;
  };
  return [
    { label: "Rename", icon: "edit", run: rename },
    { label: "Export as Markdown", icon: "download", run: () => void exportMarkdown() },
    { label: "Export as JSON", icon: "download", run: () => void exportJson() },
    { label: "Delete", icon: "trash", run: remove, danger: true },
  ];
}
