// A family of models is facets. What a checkpoint has not is null; nobody writes refusals: who
// needs a facet looks whether it is there.
#pragma once

#include <memory>

#include "interface/audio.h"
#include "interface/load.h"
#include "interface/prompter.h"
#include "interface/recogniser.h"
#include "interface/text_model.h"
#include "interface/vision.h"
#include "interface/voice.h"

namespace omni {

struct Family {
  std::unique_ptr<const Prompter> prompter;
  std::unique_ptr<const TextModel> text;
  std::unique_ptr<const VisionEncoder> vision;
  std::unique_ptr<const AudioEncoder> audio;
  // Loads the voice, on demand.
  std::unique_ptr<const Voice> (*load_voice)(const ModelOptions&, const LoadProgress&) = nullptr;
  std::unique_ptr<const Recogniser> recogniser;
};

}  // namespace omni
