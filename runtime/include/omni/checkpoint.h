// What a checkpoint's folder holds, by its configuration and the headers of its files: nothing is
// loaded.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "omni/error.h"
#include "omni/types.h"

namespace omni {

// What goes in and what comes out.
struct Abilities {
  bool video = false;  // and images
  bool audio = false;
  bool text = false;  // about what went in, places among it
  bool speech = false;
  bool transcript = false;  // of speech, with times; no dialogue

  // "takes video and images and writes text"
  OMNI_API std::string describe() const;
};

struct CheckpointInfo {
  std::string family;  // config.json's model_type
  Abilities abilities;
  std::string stored;  // "bfloat16", "AWQ, 4 bits in groups of 128"
  // Unset where matrices are stored quantized.
  std::optional<int64_t> n_parameters;
  struct Need {
    Precision precision;
    int64_t bytes;    // of weights on a GPU, about
    int64_t in_file;  // so much of it stays in the file on the host, which reads some rows: tables
  };
  std::vector<Need> needs;  // of the precisions that it can be opened with
};

// Only config.json is read. Throws Error as Engine::open() does.
OMNI_API Abilities read_abilities(const std::string& model_path);
OMNI_API CheckpointInfo read_checkpoint(const std::string& model_path);

}  // namespace omni
