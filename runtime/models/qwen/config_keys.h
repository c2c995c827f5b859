// Lists of keys that families of the Qwen line share.
#pragma once

#include "io/config_keys.h"

namespace omni::qwen {

extern const std::span<const ConfigKey> kTextKeys,  // of a text model
    kMixtureKeys,                                   // beside them, of one with mixtures of experts
    kRopeKeys,            // its rope_scaling beside rope_theta, or its rope_parameters
    kVisionKeys,          // of a tower with windows
    kVisionRopeKeys,      // rope_parameters of any tower
    kImageProcessorKeys,  // preprocessor_config.json, or its part of processor_config.json
    kPixelsKeys,          // size in it
    kGenerationKeys,      // generation_config.json beside kGenerationConfigKeys
    kOmniKeys;            // omni in it: defaults of ours, which the engine reads

}  // namespace omni::qwen
