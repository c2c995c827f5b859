// config.json's model_type → family.
#pragma once

#include "interface/family.h"

namespace omni {

// Throws Error; unsupported names the model types that there are.
Family load_family(const ModelOptions& options, const LoadProgress& progress);

}  // namespace omni
