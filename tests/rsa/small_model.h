#pragma once

#include <filesystem>
#include <string>

#include <unistd.h>

#include "checkpoint/init.h"

namespace zaya::rsa::test {

/// A small model with random weights and a tokenizer; made once a process, gone with it.
inline const std::string& small_model() {
  struct Folder {
    std::string path =
        (std::filesystem::temp_directory_path() / ("zaya-rsa-" + std::to_string(::getpid())))
            .string();
    Folder() {
      const std::filesystem::path recipe = ZAYA_SOURCE_DIR "/models/random-tiny";
      init_checkpoint(read_config(recipe).model, path,
                      {.seed = 1, .dtype = DType::f32, .text_from = recipe});
    }
    ~Folder() { std::filesystem::remove_all(path); }
  };
  static const Folder folder;
  return folder.path;
}

}  // namespace zaya::rsa::test
