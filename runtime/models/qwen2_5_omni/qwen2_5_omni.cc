#include "qwen2_5_omni/qwen2_5_omni.h"

#include <set>

#include "io/json.h"
#include "qwen2_5_omni/audio_tower.h"
#include "qwen2_5_omni/positions.h"
#include "qwen2_5_omni/speech.h"
#include "qwen2_5_omni/text_model.h"
#include "qwen2_5_omni/visual.h"

namespace omni {
namespace qwen2_5_omni {
namespace {

// eos_token_id of generation_config.json, if it says any: one id or a list.
std::set<int32_t> read_stop_ids(const std::filesystem::path& folder) {
  std::set<int32_t> ids;
  const Json generation = Json::parse_file_if_there(folder / "generation_config.json");
  if (!generation.has("eos_token_id")) return ids;
  const Json eos = generation.at("eos_token_id");
  if (eos.is_array())
    for (int64_t id : eos.integers()) ids.insert(int32_t(id));
  else
    ids.insert(int32_t(eos.integer()));
  return ids;
}

// Weighs the parts of loading by their usual share of the bytes.
LoadProgress part(const LoadProgress& whole, double from, double to) {
  return {[&whole, from, to](double f) { whole(from + (to - from) * f); }};
}

class Thinker final : public Model {
 public:
  Thinker(const ModelOptions& o, const Weights& w, const Weights& text, const Config& c,
          const LoadProgress& progress)
      : device_(w.device()),
        config_(c),
        tokenizer_(o.folder / "tokenizer.json"),
        template_(tokenizer_),
        vision_(read_vision_spec(o.folder, c.vision)),
        stop_ids_(read_stop_ids(o.folder)),
        visual_(w.scope("visual").at_least_int8(), c.vision),
        audio_tower_((progress(0.15), w.scope("audio_tower").at_least_int8()), c.audio),
        model_((progress(0.3), text), w, "lm_head", c.text, part(progress, 0.3, 1.0)) {
    // A tokenizer may know fewer tokens than the table has rows, never more than it can look up.
    if (tokenizer_.n_tokens() > c.text.vocab_size)
      throw Error(ErrorCode::corrupt_file, o.folder.string() + ": tokenizer.json has " +
                                               std::to_string(tokenizer_.n_tokens()) +
                                               " tokens, config.json a vocab_size of " +
                                               std::to_string(c.text.vocab_size));
  }

  const Device* device() const override { return device_; }
  int hidden() const override { return config_.text.hidden_size; }
  int64_t max_positions() const override { return config_.text.max_position_embeddings; }
  const BpeTokenizer& tokenizer() const override { return tokenizer_; }
  bool is_stop(int32_t id) const override {
    return template_.is_stop(id) || stop_ids_.count(id) != 0;
  }
  Coordinates coordinates() const override { return Coordinates::resized_pixels; }

  const VisionSpec& vision() const override { return vision_; }
  int n_mels() const override { return config_.audio.num_mel_bins; }
  int mel_frames_per_unit() const override { return 2 * config_.audio.n_window; }
  Tensor encode_pictures(ops::Context& cx, const Tensor& patches, int h, int w) const override {
    return visual_.forward(cx, ops::from_host(cx, patches), h, w);
  }
  Tensor encode_sound(ops::Context& cx, const Tensor& mel) const override {
    return audio_tower_.forward(cx, ops::from_host(cx, mel));
  }

  double ids_per_second() const override { return config_.position_id_per_seconds; }
  Nanoseconds chunk_duration() const override { return config_.seconds_per_chunk * kSecond; }
  Rows begin_dialogue(Cursor& c, const std::string& system) const override {
    return template_.begin_dialogue(c, system);
  }
  Rows begin_run(Cursor& c, Tracks tracks) const override { return template_.begin_run(c, tracks); }
  Rows media(Cursor& c, const Segment& s, int32_t index) const override {
    return template_.media(c, s, index, ids_per_second());
  }
  Rows end_run(Cursor& c, Tracks tracks) const override { return template_.end_run(c, tracks); }
  Rows ask(Cursor& c, const std::string& question) const override {
    return template_.ask(c, question);
  }
  Position rebase(Modality m, int32_t ids) const override {
    return m == Modality::audio ? Position{ids, ids, ids} : Position{ids, 0, 0};
  }

  KvCache new_cache() const override { return model_.new_cache(); }
  Tensor embed(ops::Context& cx, std::span<const int32_t> ids) const override {
    return model_.embed(cx, ids);
  }
  Tensor forward(ops::Context& cx, const Tensor& x, std::span<const Position> p,
                 KvCache& cache) const override {
    return model_.forward(cx, x, p, cache);
  }
  Tensor decode(ops::Context& cx, const Tensor& x, const Position& position, KvCache& cache,
                DecoderStep& step) const override {
    return model_.decode(cx, x, position, cache, step);
  }
  DecoderStep new_step() const override { return model_.new_step(); }
  Tensor logits(ops::Context& cx, const Tensor& hidden) const override {
    return model_.logits(cx, hidden);
  }
  void shift_keys(ops::Context& cx, KvCache& cache, int64_t begin, int64_t end,
                  const std::function<Position(int64_t)>& delta) const override {
    model_.shift_keys(cx, cache, begin, end, delta);
  }

 private:
  const Device* device_;
  Config config_;
  BpeTokenizer tokenizer_;
  Template template_;
  VisionSpec vision_;
  std::set<int32_t> stop_ids_;
  Visual visual_;
  AudioTower audio_tower_;
  TextModel model_;
};

}  // namespace
}  // namespace qwen2_5_omni

std::unique_ptr<const Model> load_qwen2_5_omni(const ModelOptions& options,
                                               const LoadProgress& progress) {
  const auto config = qwen2_5_omni::Config::read(options.folder);
  const Weights file =
      Weights::open(options.folder).on(options.device).with(options.precision, options.quantizing);
  const Weights w = config.thinker_alone ? file : file.scope("thinker");
  return std::make_unique<qwen2_5_omni::Thinker>(options, w, w.scope("model"), config, progress);
}

std::unique_ptr<const SpeechModel> load_qwen2_5_omni_speech(const ModelOptions& options,
                                                            const LoadProgress& progress) {
  const auto config = qwen2_5_omni::SpeechConfig::read(options.folder);
  if (!config) return nullptr;
  return std::make_unique<qwen2_5_omni::Speech>(
      options,
      Weights::open(options.folder).on(options.device).with(options.precision, options.quantizing),
      *config, progress);
}

}  // namespace omni
