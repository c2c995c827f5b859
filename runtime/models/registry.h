// config.json's model_type → family.
#pragma once

#include "models/model.h"

namespace omni {

struct ModelOptions {
  std::filesystem::path folder;
  ops::MatmulPrecision precision;
  bool speech = false;  // load what speaks, too, where the checkpoint has it
};

// Throws Error; unsupported names the model types that there are.
std::unique_ptr<const Model> load_model(const ModelOptions& options, const LoadProgress& progress);

}  // namespace omni
