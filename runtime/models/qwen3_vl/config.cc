#include "qwen3_vl/config.h"

#include "core/mapped_file.h"
#include "qwen/vision_language.h"

namespace omni::qwen3_vl {

namespace {

namespace fs = std::filesystem;

constexpr ConfigKey kText[] = {
    {"attention_bias", ConfigKey::assumed, R"([false])"},
};

// Of Qwen2VLImageProcessor and Qwen3VLVideoProcessor: what a folder does not say.
constexpr PixelLimits kImagePixels{56 * 56, 1280 * 28 * 28};
constexpr PixelLimits kVideoPixels{128 * 32 * 32, 768 * 32 * 32};
constexpr int kMostFrames = 768;
constexpr double kVideoMean = 0.5, kVideoStd = 0.5;

// Frames of a video are normalised as pictures are: one layout serves both.
void require_layout(const Json& video, const PatchLayout& layout) {
  for (size_t i = 0; i < 3; ++i) {
    const auto value = [&](const char* key, double otherwise) {
      return video.has(key) ? video.at(key).at(i).number(-1e6, 1e6) : otherwise;
    };
    if (value("image_mean", kVideoMean) != layout.mean[i] ||
        value("image_std", kVideoStd) != layout.std[i])
      throw Error(ErrorCode::unsupported,
                  video.where() + ": videos are normalised otherwise than images");
  }
}

// The limits of video are those of a whole video.
VisionSpec read_spec(const fs::path& folder, const qwen::DeepStackConfig& vision) {
  VisionSpec spec =
      qwen::read_vision_spec(qwen::read_image_processor(folder), vision, kImagePixels);
  const Json video = qwen::read_video_processor(folder);
  require_layout(video, spec.layout);
  if (video.boolean_or("cap_pixels_per_frame", false))
    throw Error(ErrorCode::unsupported, video.member_path("cap_pixels_per_frame") +
                                            " is true; only false is computed here");
  spec.video = qwen::read_pixels(video, kVideoPixels);
  spec.video.frames = int(video.integer_or("max_frames", kMostFrames, 2, 1 << 20));
  spec.frame_rate = qwen::read_frame_rate(video).value_or(Rational{2, 1});
  spec.frame_spread = FrameSpread::linspace;
  return spec;
}

// Empty where there is none. As versions of transformers have kept it.
std::string read_chat_template(const fs::path& folder) {
  if (fs::exists(folder / "chat_template.jinja"))
    return read_text_file(folder / "chat_template.jinja", size_t{1} << 20);
  for (const char* file : {"chat_template.json", "tokenizer_config.json"}) {
    const Json j = Json::parse_file_if_there(folder / file);
    if (j.has("chat_template") && j.at("chat_template").is_string())
      return j.at("chat_template").string();
  }
  return {};
}

bool has_experts(const Json& config) { return config.at("model_type").string() == "qwen3_vl_moe"; }

// Its class never looks at the key.
qwen::ExpertsConfig read_experts(const Json& text) {
  const qwen::ExpertsConfig c = qwen::read_experts(text);
  if (!c.norm_topk_prob)
    throw Error(ErrorCode::unsupported,
                text.member_path("norm_topk_prob") + " is false; only true is computed here");
  return c;
}

}  // namespace

Config Config::read(const fs::path& folder) {
  Config c{Json::parse_file(folder / "config.json"), {}, {}, {}};
  c.text = qwen::read_vision_language_text(c.json);
  c.vision = qwen::read_deepstack(c.json.at("vision_config"));
  c.spec = read_spec(folder, c.vision);
  if (has_experts(c.json)) c.text.experts = read_experts(c.json.at("text_config"));
  c.text.qkv_bias = false;
  c.text.qk_norm = c.text.mrope_interleaved = true;
  c.text.n_deep_levels = int(c.vision.deepstack_visual_indexes.size());
  qwen::require(c.json, c.vision.out_hidden_size == c.text.hidden_size,
                "has a tower whose output is not as wide as the text model");
  qwen::require(c.json, c.text.n_deep_levels <= c.text.num_hidden_layers,
                "has more deepstack_visual_indexes than layers of text");
  return c;
}

std::vector<std::string> check_config_keys(const fs::path& folder) {
  const bool mixes = has_experts(Json::parse_file(folder / "config.json"));
  return qwen::check_vision_language_keys(
      folder, {.vision = qwen::kDeepStackKeys,
               .more_text = mixes ? qwen::kMixtureKeys : std::span<const ConfigKey>(kText),
               .rope = qwen::kInterleavedRopeKeys});
}

bool read_thinks(const fs::path& folder) {
  const std::string text = read_chat_template(folder);
  const size_t opening = text.rfind("add_generation_prompt");
  return opening != std::string::npos && text.find("<think>", opening) != std::string::npos;
}

}  // namespace omni::qwen3_vl
