// config.json's model_type → family.
#pragma once

#include "interface/family.h"
#include "omni/checkpoint.h"

namespace omni {

// Throws Error; unsupported names the model types that there are.
Family load_family(const ModelOptions& options, const LoadProgress& progress);

// Of the checkpoint in `folder`, by its config.json. Throws as load_family() does.
Abilities abilities_of(const std::filesystem::path& folder);

}  // namespace omni
