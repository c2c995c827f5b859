// What becomes of every key of a configuration that the reference's class reads. A family lists all
// of them, so that none is ignored silently: what is not computed here is refused by its name, and
// what nobody has heard of is told.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "io/json.h"

namespace omni {

struct ConfigKey {
  enum Use {
    read,         // by the family's reader
    passed_over,  // changes nothing that is computed here: names, training, memory, search
    assumed,      // has one of `values`, as has every element of a list; missing or null is fine
  };
  const char* name;
  Use use;
  const char* values = nullptr;  // of `assumed`: a JSON list
};

// An object of a configuration; one that is missing is skipped.
struct ConfigSection {
  const char* path;  // "text_config.rope_scaling"; empty: the whole
  std::span<const ConfigKey> keys, more = {}, even_more = {};  // together
};

// What transformers writes into any configuration, none of it read here.
// (configuration_utils.py, PreTrainedConfig)
extern const std::span<const ConfigKey> kPretrainedConfigKeys;
// The same of generation_config.json: how a text is searched for is asked for by properties, whose
// defaults the engine reads.
// (generation/configuration_utils.py, GenerationConfig)
extern const std::span<const ConfigKey> kGenerationConfigKeys;

// Throws unsupported naming file, key, value and what is computed here for an assumed key of
// another value. → the keys that are in no list, "config.json: text_config.new_key".
std::vector<std::string> check_keys(const Json& config, std::span<const ConfigSection> sections);

}  // namespace omni
