// An open checkpoint: its family's facets, the threads that compute with them, and what is shared
// by all who opened it the same way. Tokenizers, sessions and transcribers are made from the facets
// that it has.
#include "omni/engine.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>

#include "core/cpu_level.h"
#include "core/log.h"
#include "core/mapped_file.h"
#include "engine/devices.h"
#include "engine/find_model.h"
#include "io/foreign_weights.h"
#include "io/json.h"
#include "io/quantize_cache.h"
#include "io/weights.h"
#include "models/registry.h"
#include "omni/checkpoint.h"
#include "session/session.h"
#include "session/speech_stream.h"
#include "session/tokenizers.h"
#include "transcription/transcriber.h"

namespace omni {

namespace fs = std::filesystem;

namespace {

constexpr int64_t kMostPixels = int64_t{16384} * 16384;
constexpr int64_t kMostOfMinPixels = int64_t{16384} * 28 * 28;  // what is smaller is made as large
constexpr double kMostSeconds = 24 * 3600;
constexpr int kMostOfAFraction = 1'000'000;

// FNV-1a over the configuration and a sample of every weight file.
class Fingerprint {
 public:
  void add(const void* data, size_t n) {
    for (const auto* p = static_cast<const unsigned char*>(data); n--; ++p)
      hash_ = (hash_ ^ *p) * 0x100000001b3u;
  }
  std::string hex() const {
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash_));
    return text;
  }

 private:
  uint64_t hash_ = 0xcbf29ce484222325u;
};

std::string fingerprint_of(const fs::path& folder) {
  Fingerprint f;
  const std::string config = read_text_file(folder / "config.json", size_t{64} << 20);
  f.add(config.data(), config.size());
  const std::string beside = Json::parse_file_if_there(folder / "quantize_config.json").dump();
  if (beside != "{}") f.add(beside.data(), beside.size());
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const fs::path& path : files) {
    const MappedFile file(path);
    const size_t size = file.size(), step = std::max<size_t>(4096, size / 256);
    f.add(&size, sizeof size);
    for (size_t at = 0; at < size; at += step)
      f.add(file.data() + at, std::min<size_t>(64, size - at));
  }
  return f.hex();
}

// "2/1" or "2": frames a second.
Rational parse_frame_rate(const Json& j) {
  const std::string text = j.string();
  const char* end = text.data() + text.size();
  Rational r;
  auto read = std::from_chars(text.data(), end, r.num);
  if (read.ec == std::errc() && read.ptr != end && *read.ptr == '/')
    read = std::from_chars(read.ptr + 1, end, r.den);
  const bool whole = read.ec == std::errc() && read.ptr == end;
  if (!whole || r.num < 1 || r.den < 1 || r.num > kMostOfAFraction || r.den > kMostOfAFraction)
    j.fail("is " + j.dump() + ", no fraction like \"2/1\" of numbers in 1 … " +
           std::to_string(kMostOfAFraction));
  return r;
}

// How the reference writes with this checkpoint where nobody asks for anything else.
// (GenerationConfig)
void read_sampling(const Json& generation, CheckpointDefaults& d) {
  if (generation.has("repetition_penalty"))
    d.repetition_penalty = generation.number("repetition_penalty", 0.01, 100);
  if (!generation.boolean_or("do_sample", false)) return;
  d.temperature = generation.number_or("temperature", 1, 0, 100);
  d.top_p = generation.number_or("top_p", 1, 0, 1);
  d.top_k = int(generation.integer_or("top_k", 50, 0, 1 << 24));
}

CheckpointDefaults read_defaults(const fs::path& folder) {
  const Json generation = Json::parse_file_if_there(folder / "generation_config.json"),
             omni = generation.find("omni");
  CheckpointDefaults d;
  read_sampling(generation, d);
  if (omni.has("system-prompt")) d.system_prompt = omni.at("system-prompt").string();
  if (omni.has("prompt")) d.prompt = omni.at("prompt").string();
  if (omni.has("spatial-prompt")) d.spatial_prompt = omni.at("spatial-prompt").string();
  if (omni.has("nothing-new")) d.nothing_new = omni.at("nothing-new").string();
  if (omni.has("trigger")) d.trigger = omni.at("trigger").string();
  if (omni.has("frame-rate")) d.frame_rate = parse_frame_rate(omni.at("frame-rate"));
  if (omni.has("min-pixels")) d.min_pixels = omni.integer("min-pixels", 1, kMostOfMinPixels);
  if (omni.has("max-pixels")) d.max_pixels = omni.integer("max-pixels", 1, kMostPixels);
  if (omni.has("context-duration"))
    d.context_duration = omni.number("context-duration", 0, kMostSeconds);
  if (omni.has("normaliser-window"))
    d.normaliser_window = omni.number("normaliser-window", 0, kMostSeconds);
  if (omni.has("voice")) d.speech.voice = omni.at("voice").string();
  if (omni.has("speech-temperature"))
    d.speech.temperature = omni.number("speech-temperature", 0, 100);
  if (omni.has("speech-top-p")) d.speech.top_p = omni.number("speech-top-p", 0, 1);
  if (omni.has("speech-top-k")) d.speech.top_k = int(omni.integer("speech-top-k", 0, 1 << 24));
  if (omni.has("speech-repetition-penalty"))
    d.speech.repetition_penalty = omni.number("speech-repetition-penalty", 0.01, 100);
  if (omni.has("flow-points")) d.speech.flow_points = int(omni.integer("flow-points", 2, 1000));
  if (omni.has("flow-guidance")) d.speech.flow_guidance = omni.number("flow-guidance", 0, 100);
  if (omni.has("flow-look-ahead"))
    d.speech.flow_look_ahead = int(omni.integer("flow-look-ahead", 0, 3));
  if (omni.has("max-tokens")) d.max_tokens = int(omni.integer("max-tokens", 1, 1 << 20));
  return d;
}

const char* name_of(Precision p) {
  constexpr const char* kNames[] = {"auto", "float32", "bfloat16", "int8", "int4"};
  return kNames[int(p)];
}

Precision choose_precision(Precision asked, const fs::path& folder, const Device* device) {
  const Weights w = Weights::open(folder);
  const bool quantizes = asked == Precision::int8 || asked == Precision::int4;
  if (quantizes && !w.quantization().empty()) {
    log(LogLevel::info, folder.string() + " is quantized already (" + w.quantization() +
                            ") and read so: precision=" + name_of(asked) + " is passed over");
    asked = Precision::automatic;
  }
  if (asked != Precision::automatic) return asked;
  return (device || cpu_has_bf16()) && w.stored_dtype() != DType::f32 ? Precision::bfloat16
                                                                      : Precision::float32;
}

class OpenEngine final : public Engine, public std::enable_shared_from_this<OpenEngine> {
 public:
  OpenEngine(const EngineOptions& options, const Device* device,
             const std::function<void(double)>& progress)
      : folder_(options.model_path),
        fingerprint_(fingerprint_of(folder_)),
        defaults_(read_defaults(folder_)),
        abilities_(abilities_of(folder_)),
        device_(device),
        precision_(choose_precision(options.precision, folder_, device)),
        pool_(options.threads) {
    if (precision_ == Precision::int8 || precision_ == Precision::int4)
      cache_ = std::make_shared<QuantizeCache>(QuantizeCache::folder_of(fingerprint_));
    family_ = load_family(how_to_load(), {progress});
    if (family_.vision) {
      const VisionSpec& spec = family_.vision->spec();
      if (!defaults_.frame_rate) defaults_.frame_rate = spec.frame_rate;
      defaults_.frame_spread = spec.frame_spread;
    }
    if (family_.text) scheduler_ = std::make_unique<Scheduler>(*family_.text, pool_);
    log_loaded();
  }

  const std::string& fingerprint() const override { return fingerprint_; }
  Precision precision() const override { return precision_; }
  std::string compute() const override { return device_ ? device_->name() : describe_cpu_level(); }
  bool on_device() const override { return device_ != nullptr; }
  CopiedBytes copied() const override {
    if (!device_) return {};
    const Device::Copied copied = device_->copied();
    return {copied.to_device, copied.to_host};
  }
  const CheckpointDefaults& defaults() const override { return defaults_; }
  int hidden() const override { return text().media_width(); }
  Nanoseconds chunk_duration() const override { return prompter().chunk_duration(); }

  std::unique_ptr<VideoTokenizer> make_video_tokenizer(const VideoOptions& asked) const override {
    VideoOptions o = asked;
    if (!o.min_pixels) o.min_pixels = defaults_.min_pixels.value_or(0);
    if (!o.max_pixels && o.detail != Detail::high) o.max_pixels = defaults_.max_pixels.value_or(0);
    const VisionEncoder& vision =
        there(family_.vision, "takes no video: it " + abilities_.describe());
    return omni::make_video_tokenizer(shared_from_this(), vision, pool_, o);
  }
  std::unique_ptr<AudioTokenizer> make_audio_tokenizer(const AudioOptions& asked) const override {
    AudioOptions o = asked;
    if (o.normaliser_window <= 0)
      o.normaliser_window = Nanoseconds(defaults_.normaliser_window.value_or(0) * double(kSecond));
    const AudioEncoder& audio = there(family_.audio, "takes no audio: it " + abilities_.describe());
    return omni::make_audio_tokenizer(shared_from_this(), audio, pool_, o);
  }
  std::unique_ptr<Session> make_session(const SessionOptions& options) const override {
    if (options.settings.wants_speech && family_.load_voice) load_speech({});
    const auto make_speech = [this](const SpeechOptions& o) { return make_stream(o); };
    return omni::make_session(shared_from_this(), prompter(), scheduler(), make_speech, options,
                              fingerprint_ + " " + name_of(precision_));
  }

  void load_speech(const std::function<void(double)>& progress) const override {
    const Voice& loaded = voice(progress);
    if (device_)
      std::call_once(rehearsed_,
                     [&] { rehearse(loaded, speech_arenas_, pool_, speech_settings(loaded, {})); });
  }
  std::vector<std::string> voices() const override { return voice({}).speakers(); }
  std::unique_ptr<Speech> make_speech(const SpeechOptions& asked) const override {
    return make_stream(asked);
  }

  bool transcribes() const override { return family_.recogniser != nullptr; }
  std::unique_ptr<Transcriber> make_transcriber(
      const TranscriptionOptions& options) const override {
    const Recogniser& recogniser = there(family_.recogniser, "is no transcriber: use omnimodel");
    return omni::make_transcriber(shared_from_this(), recogniser, pool_, options);
  }

 private:
  SpeechSettings speech_settings(const Voice& loaded, const SpeechOptions& asked) const {
    const SpeechOptions& own = defaults_.speech;
    // Behind what is asked and what the checkpoint says: the published values.
    const CodeSampling as_published = loaded.sampling();
    const auto value = [](const auto& a, const auto& b, auto published) {
      return a ? *a : b.value_or(published);
    };
    SpeechSettings s;
    s.voice = asked.voice.empty() ? own.voice : asked.voice;
    s.sampling.temperature = value(asked.temperature, own.temperature, as_published.temperature);
    s.sampling.top_p = value(asked.top_p, own.top_p, as_published.top_p);
    s.sampling.top_k = value(asked.top_k, own.top_k, as_published.top_k);
    s.sampling.repetition_penalty =
        value(asked.repetition_penalty, own.repetition_penalty, as_published.repetition_penalty);
    s.flow.points = value(asked.flow_points, own.flow_points, 10);
    s.flow.guidance = float(value(asked.flow_guidance, own.flow_guidance, 0.5));
    s.flow.look_ahead = std::clamp(value(asked.flow_look_ahead, own.flow_look_ahead, 3), 0, 3);
    s.seed = asked.seed;
    return s;
  }
  std::unique_ptr<SpeechStream> make_stream(const SpeechOptions& asked) const {
    const Voice& loaded = voice({});
    return std::make_unique<SpeechStream>(shared_from_this(), loaded, speech_arenas_, pool_,
                                          speech_settings(loaded, asked));
  }

  ModelOptions how_to_load() const { return {folder_, precision_, device_, {&pool_, cache_}}; }
  void log_loaded() const {
    if (cache_)
      log(LogLevel::info, std::to_string(cache_->n_made()) + " matrices quantized, " +
                              std::to_string(cache_->n_found()) + " found in " +
                              QuantizeCache::folder_of(fingerprint_).string());
    log(LogLevel::info, "loaded " + folder_.string() + ", fingerprint " + fingerprint_ + ", " +
                            name_of(precision_) + ", " + compute() + ", " +
                            std::to_string(pool_.n_threads()) + " threads");
  }

  // A facet that is needed. Throws unsupported with what the checkpoint lacks where it is null.
  template <class Facet>
  const Facet& there(const std::unique_ptr<const Facet>& facet, const std::string& lacks) const {
    if (!facet) refuse(lacks);
    return *facet;
  }
  [[noreturn]] void refuse(const std::string& lacks) const {
    throw Error(
        ErrorCode::unsupported,
        folder_.string() + " " +
            (transcribes() ? "transcribes and does nothing else: use omnitranscriber" : lacks));
  }
  const Prompter& prompter() const { return there(family_.prompter, "holds no dialogue"); }
  const TextModel& text() const { return there(family_.text, "writes no text"); }
  Scheduler& scheduler() const { return text(), *scheduler_; }
  const Voice& voice(const std::function<void(double)>& progress) const {
    std::lock_guard guard(voice_lock_);
    if (!voice_ && family_.load_voice) voice_ = family_.load_voice(how_to_load(), {progress});
    return there(voice_, "has no voice: it holds no Talker and Token2Wav");
  }

  const fs::path folder_;
  const std::string fingerprint_;  // made first: it finds out whether there is a checkpoint at all
  CheckpointDefaults defaults_;
  const Abilities abilities_;
  const Device* const device_;
  const Precision precision_;
  mutable ThreadPool pool_;
  std::shared_ptr<QuantizeCache> cache_;  // where matrices are quantized
  Family family_;
  std::unique_ptr<Scheduler> scheduler_;  // where there is a text model
  mutable std::mutex voice_lock_;
  mutable std::unique_ptr<const Voice> voice_;  // once there, it stays
  mutable SpeechArenas speech_arenas_{device_};
  mutable std::once_flag rehearsed_;
};

// Engines that are open or being opened, by what they were opened with.
struct Slot {
  std::mutex lock;  // held while loading
  std::weak_ptr<const Engine> engine;
};

std::shared_ptr<Slot> slot_for(const std::string& key) {
  static std::mutex lock;
  static std::map<std::string, std::shared_ptr<Slot>> slots;
  std::lock_guard guard(lock);
  for (auto it = slots.begin(); it != slots.end();)
    it = it->second.use_count() == 1 && it->second->engine.expired() ? slots.erase(it)
                                                                     : std::next(it);
  auto& slot = slots[key];
  if (!slot) slot = std::make_shared<Slot>();
  return slot;
}

}  // namespace

namespace {

// Of a device, that whoever shares it with the weights needs at first: keys and values of some
// thousand tokens, intermediate results.
constexpr int64_t kWorkBytes = int64_t{1} << 30;

int64_t bytes_of_weights(const EngineOptions& o, const Device* device) {
  const CheckpointInfo info = read_checkpoint(o.model_path);
  const Precision precision = choose_precision(o.precision, o.model_path, device);
  for (const CheckpointInfo::Need& need : info.needs)
    if (need.precision == precision) return need.bytes;
  return info.needs.front().bytes;  // published quantized
}

std::string mib(int64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

// Whether device=auto takes it.
bool has_room(const Device& device, const EngineOptions& o) {
  const int64_t weights = bytes_of_weights(o, &device), free = int64_t(device.memory().free);
  const bool fits = weights + kWorkBytes <= free;
  if (!fits)
    log(LogLevel::warning, "device=auto is the CPU: " + o.model_path + " needs " + mib(weights) +
                               " and " + mib(kWorkBytes) + " to work with, " + device.name() +
                               " has " + mib(free) + " free");
  return fits;
}

[[noreturn]] void no_memory_to_load(const EngineOptions& o, const Device* device,
                                    const std::string& why) {
  throw Error(ErrorCode::out_of_memory,
              "no memory to load " + o.model_path + ", whose weights take " +
                  mib(bytes_of_weights(o, device)) + (why.empty() ? "" : ": " + why));
}

// An engine that is open already, or a new one. `if_it_fits`: none where the device has no room.
std::shared_ptr<const Engine> open_on(const Device* device, const EngineOptions& o, bool if_it_fits,
                                      const std::function<void(double)>& progress) {
  const auto slot = slot_for(o.model_path + '\n' + std::to_string(int(o.precision)) + '\n' +
                             std::to_string(o.threads) + '\n' + (device ? device->name() : "cpu"));
  std::lock_guard guard(slot->lock);
  if (auto engine = slot->engine.lock()) return engine;
  if (if_it_fits && !has_room(*device, o)) return nullptr;
  try {
    const auto engine = std::make_shared<const OpenEngine>(o, device, progress);
    slot->engine = engine;
    return engine;
  } catch (const std::bad_alloc&) {
    no_memory_to_load(o, device, "");
  } catch (const Error& e) {
    if (e.code() != ErrorCode::out_of_memory) throw;
    no_memory_to_load(o, device, e.what());
  } catch (const fs::filesystem_error& e) {
    throw Error(ErrorCode::not_found, e.what());
  }
}

}  // namespace

std::string cpu_instructions() { return describe_cpu_level(); }

std::shared_ptr<const Engine> Engine::open(const EngineOptions& options,
                                           const std::function<void(double)>& progress) {
  cpu_level();  // what is wrong with OMNI_CPU_ISA is said before anything is read
  const Device* device = open_device(options.device);
  std::error_code error;
  EngineOptions o = options;
  const fs::path folder = find_model(options.model_path);
  refuse_foreign_weights(folder);
  if (!fs::is_directory(folder, error))
    throw Error(ErrorCode::not_found, "model-path " + options.model_path + " is no folder");
  o.model_path = folder.string();
  if (o.device == "auto" && device) {
    if (auto engine = open_on(device, o, true, progress)) return engine;
    device = nullptr;
  }
  return open_on(device, o, false, progress);
}

}  // namespace omni
