#include "qwen3_vl/qwen3_vl.h"

#include "qwen/deepstack_visual.h"
#include "qwen/text_model.h"
#include "qwen/vision_language.h"
#include "qwen3_vl/chat_template.h"
#include "qwen3_vl/config.h"

namespace omni {

Family load_qwen3_vl(const ModelOptions& o, const LoadProgress& progress) {
  qwen::log_unlisted(qwen3_vl::check_config_keys(o.folder));
  const auto config = qwen3_vl::Config::read(o.folder);
  const Weights file = Weights::open(o.folder).on(o.device).with(o.precision, o.quantizing);
  const qwen::Halves halves = qwen::halves_of(file);
  Family f;
  f.prompter = std::make_unique<qwen3_vl::ChatTemplate>(
      o.folder, config.json, config.text.vocab_size, qwen3_vl::read_thinks(o.folder));
  f.vision = std::make_unique<qwen::DeepStackVisual>(
      halves.visual.at_least_int8(), config.vision, config.spec,
      qwen::MergerNames{"deepstack_merger_list", "norm", "linear_fc1", "linear_fc2"});
  progress(0.25);
  f.text = std::make_unique<qwen::TextModel>(halves.text, file, "lm_head", config.text,
                                             progress.part(0.25, 1.0));
  return f;
}

}  // namespace omni
