#include "qwen/vision_language.h"

#include <cmath>

#include "qwen/text_model.h"
#include "qwen/visual.h"

namespace omni::qwen {

namespace {

// config.json around its parts; as published, the text model's keys are beside these.
constexpr ConfigKey kRoot[] = {
    {"image_token_id", ConfigKey::read},
    {"quantization_config", ConfigKey::read},
    {"text_config", ConfigKey::read},
    {"tie_word_embeddings", ConfigKey::read},
    {"video_token_id", ConfigKey::read},
    {"vision_config", ConfigKey::read},
    {"vision_end_token_id", ConfigKey::read},
    {"vision_start_token_id", ConfigKey::read},
    {"vision_token_id", ConfigKey::passed_over},
};

// Frames are picked by the elements, one by one: nobody knows how many will come.
constexpr ConfigKey kVideoProcessor[] = {
    {"fps", ConfigKey::read},
    {"cap_pixels_per_frame", ConfigKey::passed_over},
    {"do_sample_frames", ConfigKey::passed_over},
    {"max_frames", ConfigKey::passed_over},
    {"max_video_tokens", ConfigKey::passed_over},
    {"min_frames", ConfigKey::passed_over},
    {"num_frames", ConfigKey::passed_over},
    {"return_metadata", ConfigKey::passed_over},
    {"video_metadata", ConfigKey::passed_over},
    {"video_processor_type", ConfigKey::passed_over},
};

constexpr ConfigKey kProcessors[] = {
    {"image_processor", ConfigKey::read},
    {"video_processor", ConfigKey::read},
    {"processor_class", ConfigKey::passed_over},
};

const ConfigSection kProcessorsSections[] = {{"", kProcessors}};
const ConfigSection kImageSections[] = {{"", kImageProcessorKeys}, {"size", kPixelsKeys}};
const ConfigSection kVideoSections[] = {{"", kImageProcessorKeys, kVideoProcessor},
                                        {"size", kPixelsKeys}};
const ConfigSection kGenerationSections[] = {{"", kGenerationKeys, kGenerationConfigKeys},
                                             {"omni", kOmniKeys}};

// What a folder does not say is what the processors' classes do. (Qwen2VLImageProcessor,
// Qwen2VLVideoProcessor)
VisionSpec read_spec(const std::filesystem::path& folder, const VisionConfig& vision) {
  VisionSpec spec =
      read_vision_spec(read_image_processor(folder), vision, {56 * 56, 1280 * 28 * 28});
  const Json video = read_video_processor(folder);
  spec.video = read_pixels(video, {128 * 28 * 28, 768 * 28 * 28});
  spec.frame_rate = read_frame_rate(video);
  return spec;
}

}  // namespace

Json read_video_processor(const std::filesystem::path& folder) {
  const Json both = Json::parse_file_if_there(folder / "processor_config.json");
  return both.has("video_processor")
             ? both.at("video_processor")
             : Json::parse_file_if_there(folder / "video_preprocessor_config.json");
}

std::optional<Rational> read_frame_rate(const Json& video) {
  if (!video.has("fps")) return std::nullopt;
  return Rational{int(std::lround(1000 * video.number("fps", 0.001, 1000))), 1000};
}

Halves halves_of(const Weights& file) {
  const Weights model = file.scope("model");
  if (model.has("language_model.embed_tokens.weight"))
    return {model.scope("visual"), model.scope("language_model")};
  return {file.scope("visual"), model};
}

TextConfig read_vision_language_text(const Json& config) {
  const bool tied = config.boolean_or("tie_word_embeddings", false);
  TextConfig text = read_text(config.has("text_config") ? config.at("text_config") : config, tied);
  text.tie_word_embeddings |= tied;
  return text;
}

std::vector<std::string> check_vision_language_keys(const std::filesystem::path& folder,
                                                    const VisionLanguageKeys& keys) {
  const ConfigSection config[] = {
      {"", kRoot, kTextKeys, kPretrainedConfigKeys},
      {"rope_scaling", keys.rope},
      {"rope_parameters", keys.rope},
      {"text_config", kTextKeys, keys.more_text, kPretrainedConfigKeys},
      {"text_config.rope_scaling", keys.rope},
      {"text_config.rope_parameters", keys.rope},
      {"vision_config", keys.vision, keys.more_vision, kPretrainedConfigKeys},
      {"vision_config.rope_parameters", kVisionRopeKeys},
  };
  const Json both = Json::parse_file_if_there(folder / "processor_config.json");
  const auto file = [&](const char* name) { return Json::parse_file_if_there(folder / name); };
  std::vector<std::string> unlisted;
  const auto check = [&](const Json& json, std::span<const ConfigSection> sections) {
    const std::vector<std::string> more = check_keys(json, sections);
    unlisted.insert(unlisted.end(), more.begin(), more.end());
  };
  check(Json::parse_file(folder / "config.json"), config);
  check(both, kProcessorsSections);
  check(both.find("image_processor"), kImageSections);
  check(both.find("video_processor"), kVideoSections);
  check(file("preprocessor_config.json"), kImageSections);
  check(file("video_preprocessor_config.json"), kVideoSections);
  check(file("generation_config.json"), kGenerationSections);
  return unlisted;
}

Family load_vision_language(const ModelOptions& o, const LoadProgress& progress,
                            const VisionLanguage& parts) {
  require(parts.config, parts.vision.out_hidden_size == parts.text.hidden_size,
          "has a tower whose output is not as wide as the text model");
  const Weights file = Weights::open(o.folder).on(o.device).with(o.precision, o.quantizing);
  const Halves halves = halves_of(file);
  Family f;
  f.prompter = std::make_unique<VisionTemplate>(
      o.folder, parts.config,
      VisionTemplateOptions{parts.text.vocab_size, parts.coordinates, parts.positions_per_second});
  f.vision = std::make_unique<Visual>(halves.visual.at_least_int8(), parts.vision,
                                      read_spec(o.folder, parts.vision));
  progress(0.25);
  f.text = std::make_unique<TextModel>(halves.text, file, "lm_head", parts.text,
                                       progress.part(0.25, 1.0));
  return f;
}

}  // namespace omni::qwen
