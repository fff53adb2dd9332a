import { computed, signal } from "@preact/signals";
import { listModels, type Model } from "../api/client";
import { ApiError, type Trouble } from "../api/errors";
import { open } from "./conversations";
import { apiKey } from "./preferences";

export const models = signal<Model[]>([]);
/** Why the server could not be asked for its models, or null. */
export const serverTrouble = signal<Trouble | null>(null);

/** The model that answers the open conversation: the one chosen for it, while the server has it. */
export const model = computed(() => {
  const chosen = open.value.settings.model;
  return models.value.find(({ id }) => id === chosen) ?? models.value[0];
});

export async function loadModels(): Promise<void> {
  try {
    models.value = await listModels(apiKey.peek());
    serverTrouble.value = null;
  } catch (error) {
    serverTrouble.value =
      error instanceof ApiError ? error.trouble : { kind: "server", message: (error as Error).message };
  }
}
