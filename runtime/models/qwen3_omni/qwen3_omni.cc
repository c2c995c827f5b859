#include "qwen3_omni/qwen3_omni.h"

#include "qwen/deepstack_visual.h"
#include "qwen/text_model.h"
#include "qwen3_omni/audio_tower.h"
#include "qwen3_omni/chat_template.h"
#include "qwen3_omni/config.h"
#include "qwen3_omni/voice.h"

namespace omni {

namespace qwen3_omni {
namespace {

Weights open_weights(const ModelOptions& o) {
  return Weights::open(o.folder).on(o.device).with(o.precision, o.quantizing);
}

std::unique_ptr<const Voice> load_voice(const ModelOptions& o, const LoadProgress& progress) {
  return std::make_unique<TalkerVoice>(open_weights(o), SpeechConfig::read(o.folder), progress);
}

}  // namespace
}  // namespace qwen3_omni

bool qwen3_omni_speaks(const std::filesystem::path& folder) {
  return qwen3_omni::SpeechConfig::is_there(folder);
}

Family load_qwen3_omni(const ModelOptions& o, const LoadProgress& progress) {
  using namespace qwen3_omni;
  const auto config = Config::read(o.folder);
  const Weights file = open_weights(o),
                thinker = config.thinker_alone ? file : file.scope("thinker");
  Family f;
  f.prompter = std::make_unique<ChatTemplate>(o.folder, config);
  f.vision = std::make_unique<qwen::DeepStackVisual>(
      thinker.scope("visual").at_least_int8(), config.vision, config.spec,
      qwen::MergerNames{"merger_list", "ln_q", "mlp.0", "mlp.2"});
  progress(0.1);
  f.audio = std::make_unique<AudioTower>(thinker.scope("audio_tower").at_least_int8(), config.audio,
                                         config.text.n_deep_levels);
  progress(0.2);
  f.text = std::make_unique<qwen::TextModel>(thinker.scope("model"), thinker, "lm_head",
                                             config.text, progress.part(0.2, 1.0));
  if (config.has_voice) f.load_voice = load_voice;
  return f;
}

}  // namespace omni
