#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>

#include <unistd.h>

#include "tests/cli/run.h"

namespace zaya {

/// A small model with random weights, a tokenizer and no chat template of its own; made once a
/// process, gone with it.
inline const std::string& demo_model() {
  struct Folder {
    std::string path =
        (std::filesystem::temp_directory_path() / ("zaya-demo-" + std::to_string(::getpid())))
            .string();
    Folder() {
      const std::string recipe = ZAYA_SOURCE_DIR "/models/random-tiny";
      const RunResult made = run({"init", "--config", recipe + "/config.json", "--seed", "1",
                                  "--dtype", "f32", "--text-from", recipe, "-o", path});
      if (made.exit_code != 0) throw std::runtime_error(made.err);
    }
    ~Folder() { std::filesystem::remove_all(path); }
  };
  static const Folder folder;
  return folder.path;
}

}  // namespace zaya
