import { signal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import type { Conversation } from "../conversation/tree";
import { fromJson, save, toJson } from "../conversation/transfer";
import { answering } from "../state/answering";
import { changeConversation, conversations, everything, newConversation, open, openConversation, restore } from "../state/conversations";
import { notify } from "../state/notices";
import { listShown, type Theme, theme } from "../state/preferences";
import { IconButton } from "./button";
import { conversationMenu } from "./conversation_menu";
import { age } from "./format";
import { Icon, type IconName } from "./icons";
import { Menu } from "./menu";
import { dialog, focusComposer, isNarrow, listOpen, renaming } from "./view";

const sought = signal("");

function TitleInput({ conversation }: { conversation: Conversation }) {
  const ref = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => ref.current!.select(), []);
  const done = (keep: boolean) => {
    if (renaming.peek() !== conversation.id) return;
    const title = ref.current!.value.trim();
    renaming.value = null;
    if (keep && title) changeConversation(conversation.id, { title });
  };
  return (
    <input
      ref={ref}
      class="title-input"
      aria-label="Title"
      maxLength={200}
      defaultValue={conversation.title}
      onBlur={() => done(true)}
      onKeyDown={(event) => {
        if (event.key === "Enter") done(true);
        else if (event.key === "Escape") done(false);
        else return;
        event.preventDefault();
        event.stopPropagation();
      }}
    />
  );
}

function Entry({ conversation }: { conversation: Conversation }) {
  const { id, title } = conversation;
  const current = open.value.id === id;
  if (renaming.value === id) {
    return (
      <li class="entry">
        <TitleInput conversation={conversation} />
      </li>
    );
  }
  return (
    <li class={current ? "entry current" : "entry"}>
      <a
        href={`#c=${id}`}
        aria-current={current ? "page" : undefined}
        title={title}
        onClick={(event) => {
          event.preventDefault();
          openConversation(id);
          listOpen.value = false;
        }}
      >
        {title}
      </a>
      {answering.value.has(id) && <span class="dot" role="img" aria-label="is being answered" />}
      <Menu label={`More about “${title}”`} items={conversationMenu(conversation)}>
        <Icon name="dots" />
      </Menu>
    </li>
  );
}

function Entries() {
  const wanted = sought.value.trim().toLowerCase();
  const found = conversations.value.filter(({ title }) => title.toLowerCase().includes(wanted));
  if (found.length === 0) return <p class="empty">{wanted ? "Nothing found." : "No conversations yet."}</p>;
  const groups = new Map<string, Conversation[]>();
  for (const one of found) groups.set(age(one.updated), [...(groups.get(age(one.updated)) ?? []), one]);
  return [...groups].map(([name, group]) => (
    <section key={name} aria-label={name}>
      <h3>{name}</h3>
      <ul>
        {group.map((one) => (
          <Entry key={one.id} conversation={one} />
        ))}
      </ul>
    </section>
  ));
}

const themes: { name: Theme; icon: IconName; label: string }[] = [
  { name: "system", icon: "system", label: "Colours of the system" },
  { name: "light", icon: "sun", label: "Light colours" },
  { name: "dark", icon: "moon", label: "Dark colours" },
];

function ThemeSwitch() {
  return (
    <div class="theme-switch" role="radiogroup" aria-label="Colours">
      {themes.map(({ name, icon, label }) => (
        <label key={name} title={label}>
          <input
            type="radio"
            class="visually-hidden"
            name="theme"
            aria-label={label}
            checked={theme.value === name}
            onChange={() => (theme.value = name)}
          />
          <Icon name={icon} />
        </label>
      ))}
    </div>
  );
}

const largestFile = 200 * 2 ** 20;

async function importFile(file: File | undefined): Promise<void> {
  if (!file) return;
  try {
    if (file.size > largestFile) throw new Error("The file is larger than 200 MiB.");
    const all = fromJson(await file.text());
    await restore(all);
    notify(`Imported ${all.length} conversation${all.length === 1 ? "" : "s"}.`);
    if (all.length === 1) openConversation(all[0]!.conversation.id);
  } catch (error) {
    notify((error as Error).message, "bad");
  }
}

function Tools() {
  const file = useRef<HTMLInputElement>(null);
  return (
    <footer>
      <ThemeSwitch />
      <span class="spring" />
      <IconButton icon="upload" label="Import conversations" onClick={() => file.current!.click()} />
      <IconButton
        icon="download"
        label="Export all conversations"
        onClick={async () => save("conversations.json", "application/json", toJson(await everything()))}
      />
      <IconButton icon="help" label="Help" shortcut="?" onClick={() => (dialog.value = "help")} />
      <input
        ref={file}
        type="file"
        accept="application/json,.json"
        hidden
        aria-label="File of conversations"
        onChange={() => {
          void importFile(file.current!.files?.[0]);
          file.current!.value = "";
        }}
      />
    </footer>
  );
}

export function Sidebar() {
  const narrow = isNarrow();
  const shown = narrow ? listOpen.value : listShown.value;
  const close = () => (listOpen.value = false);
  return (
    <>
      <div class={listOpen.value ? "scrim shown" : "scrim"} onClick={close} />
      <nav
        class={`sidebar${listOpen.value ? " open" : ""}${listShown.value ? "" : " folded"}`}
        aria-label="Conversations"
        inert={!shown}
        onKeyDown={(event) => {
          if (event.key === "Escape" && listOpen.peek()) close();
        }}
      >
        <header>
          <span class="brand">
            zaya<span>.cpp</span>
          </span>
          <span class="spring" />
          <IconButton icon="close" label="Close the list" class="only-narrow" onClick={close} />
        </header>
        <button
          type="button"
          class="new"
          title="New conversation (Ctrl+Shift+O)"
          onClick={() => {
            newConversation();
            close();
            focusComposer();
          }}
        >
          <Icon name="plus" />
          New conversation
        </button>
        <label class="search">
          <Icon name="search" />
          <input
            id="search"
            type="search"
            placeholder="Search titles"
            aria-label="Search conversations"
            title="Search conversations (Ctrl+K)"
            value={sought.value}
            onInput={(event) => (sought.value = event.currentTarget.value)}
          />
        </label>
        <div class="entries">
          <Entries />
        </div>
        <Tools />
      </nav>
    </>
  );
}
