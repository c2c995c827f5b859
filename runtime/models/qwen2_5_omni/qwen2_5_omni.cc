// Makes the facets of a checkpoint, in the order in which its parts are read.
#include "qwen2_5_omni/qwen2_5_omni.h"

#include "qwen/text_model.h"
#include "qwen/visual.h"
#include "qwen2_5_omni/audio_tower.h"
#include "qwen2_5_omni/chat_template.h"
#include "qwen2_5_omni/voice.h"

namespace omni {
namespace qwen2_5_omni {
namespace {

Weights open_weights(const ModelOptions& o) {
  return Weights::open(o.folder).on(o.device).with(o.precision, o.quantizing);
}

std::unique_ptr<const Voice> load_voice(const ModelOptions& o, const LoadProgress& progress) {
  return std::make_unique<TalkerVoice>(o, open_weights(o), SpeechConfig::read(o.folder), progress);
}

}  // namespace
}  // namespace qwen2_5_omni

bool qwen2_5_omni_speaks(const std::filesystem::path& folder) {
  return qwen2_5_omni::SpeechConfig::is_there(folder);
}

Family load_qwen2_5_omni(const ModelOptions& o, const LoadProgress& progress) {
  using namespace qwen2_5_omni;
  const auto config = Config::read(o.folder);
  const Weights file = open_weights(o),
                thinker = config.thinker_alone ? file : file.scope("thinker");
  // Each part's share of the progress is its usual share of the bytes.
  Family f;
  f.prompter = std::make_unique<ChatTemplate>(o.folder, config);
  f.vision = std::make_unique<qwen::Visual>(thinker.scope("visual").at_least_int8(), config.vision,
                                            read_vision_spec(o.folder, config.vision));
  progress(0.15);
  f.audio =
      std::make_unique<AudioTower>(thinker.scope("audio_tower").at_least_int8(), config.audio);
  progress(0.3);
  f.text = std::make_unique<qwen::TextModel>(thinker.scope("model"), thinker, "lm_head",
                                             config.text, progress.part(0.3, 1.0));
  if (SpeechConfig::is_there(o.folder)) f.load_voice = load_voice;
  return f;
}

}  // namespace omni
