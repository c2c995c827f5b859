#include "parity/spoken.h"

#include <algorithm>
#include <optional>
#include <span>
#include <utility>

#include "decoding/sampler.h"
#include "decoding/sequence.h"
#include "engine/devices.h"
#include "io/json.h"
#include "models/registry.h"
#include "omni/engine.h"
#include "parity/recording.h"

namespace omni::parity {
namespace {

namespace fs = std::filesystem;

constexpr double kFloat32 = 1e-5;

class Spoken {
 public:
  Spoken(const fs::path& dir, const std::string& device, Precision precision)
      : expected_(dir / "expected.safetensors"),
        info_(Json::parse_file(dir / "expected.json")),
        arena_(open_device(device)),
        options_{dir / "checkpoint", precision, arena_.device()},
        family_(load_family(options_, {})),
        voice_(family_.load_voice(options_, {})) {
    tokenize(dir, device, precision);
  }

  std::vector<Line> run() {
    const Json cases = info_.at("cases");
    for (const std::string& name : cases.keys()) {
      const Json c = cases.at(name);
      check_codes(name, c);
      check_wave(name, c.at("speaker").string());
    }
    return expected_.take_lines();
  }

 private:
  std::vector<int32_t> ids(const std::string& name) const {
    const auto wide = expected_.ids(name);
    return {wide.begin(), wide.end()};
  }

  // All cases see one video and hear one sound.
  void tokenize(const fs::path& dir, const std::string& device, Precision precision) {
    const auto engine = Engine::open(
        {.model_path = (dir / "checkpoint").string(), .device = device, .precision = precision});
    const Input in = read_input(dir / "input");
    const auto hears = engine->make_audio_tokenizer({});
    hears->start(0);
    audio_ = hears->push(in.audio);
    for (Segment& s : hears->finish()) audio_.push_back(std::move(s));
    const auto sees = engine->make_video_tokenizer({.frame_rate = in.fps});
    const auto keep = [&](std::optional<Segment> s) {
      if (s) video_.push_back(std::move(*s));
    };
    for (int i = 0; i < in.frames; ++i)
      keep(sees->push(rgb_frame(in.rgb, in.width, in.height, i, i * kSecond)));
    keep(sees->finish());
  }

  // A run of what a turn is about, chunk by chunk.
  void put_media(const Json& media, Sequence& sequence) {
    Tracks tracks;
    for (size_t i = 0; i < media.size(); ++i)
      (media.at(i).string() == "audio" ? tracks.audio : tracks.video) = true;
    if (!tracks.any()) return;
    const Prompter& prompter = *family_.prompter;
    Cursor& cursor = sequence.cursor();
    sequence.prefill(
        prompter.begin_run(cursor, tracks, tracks.video ? Modality::video : Modality::audio));
    Nanoseconds end = 0;
    for (const auto* segments : {&video_, &audio_})
      for (const Segment& s : *segments) end = std::max(end, s.start + 1);
    const Nanoseconds chunk = prompter.chunk_duration();
    for (Nanoseconds begin = 0; begin < end; begin += chunk)
      for (const auto* segments : {&video_, &audio_}) {
        if (segments == &video_ ? !tracks.video : !tracks.audio) continue;
        for (const Segment& s : *segments)
          if (s.start >= begin && s.start < begin + chunk)
            sequence.prefill(prompter.media(cursor, s, 0), s.embeddings.data());
      }
    sequence.prefill(prompter.end_run(cursor, tracks));
  }

  void put(const Json& c, Sequence& sequence) {
    Cursor& cursor = sequence.cursor();
    sequence.prefill(family_.prompter->begin_dialogue(cursor, c.at("system").string()));
    const Json turns = c.at("turns");
    for (size_t i = 0; i < turns.size(); ++i) {
      const Json turn = turns.at(i);
      put_media(turn.at("media"), sequence);
      const std::string user = turn.at("user").string();
      sequence.prefill(turn.has("assistant")
                           ? family_.prompter->answered(cursor, user, turn.at("assistant").string())
                           : family_.prompter->ask(cursor, user));
    }
  }

  // From rows that the sequence keeps, of the prompt and of the recorded answer.
  void check_codes(const std::string& name, const Json& c) {
    Scheduler scheduler(*family_.text, pool_);
    Sequence sequence(scheduler, {.keeps_rows = true});
    put(c, sequence);
    const std::vector<int32_t> prompt(sequence.ids().begin(), sequence.ids().end());
    expected_.compare(name + ".input_ids", prompt, expected_.ids(name + ".input_ids"));
    VoicePrompt spoken{sequence.kept_rows(), sequence.positions(), prompt};
    std::vector<KeptRows> reply;
    const std::vector<int32_t> answer = ids(name + ".answer");
    for (size_t i = 0; i + 1 < answer.size(); ++i) {
      sequence.decode(answer[i]);
      reply.push_back(sequence.kept_rows().back());
    }
    Sampler sampler(0);
    const SamplingOptions greedy{.repetition_penalty = 1.05};
    bool is_first = true;
    const PickCode pick = [&](ops::Context& on, const Tensor& logits,
                              std::span<const int32_t> history, std::span<const uint32_t> allowed) {
      if (std::exchange(is_first, false)) {
        std::vector<float> room;
        const auto values = ops::to_host(on, logits, room);
        expected_.compare(name + ".logits", values.data(), int64_t(values.size()), kFloat32);
      }
      return sampler.choose(on, logits, history, greedy, allowed);
    };
    const auto talk = voice_->new_codes(std::move(spoken), c.at("speaker").string());
    const auto want = expected_.ids(name + ".codes");
    std::vector<int32_t> codes;
    for (size_t k = 0; codes.size() < want.size(); ++k) {
      const auto code = talk->next(cx_, k < reply.size() ? reply[k] : KeptRows{}, pick);
      if (!code) break;
      codes.push_back(*code);
      codes.insert(codes.end(), talk->residual().begin(), talk->residual().end());
    }
    expected_.compare(name + ".codes", codes, want);
  }

  void check_wave(const std::string& name, const std::string& speaker) {
    const std::vector<int32_t> codes = ids(name + ".codes");
    const auto a_frame = size_t(voice_->codes_per_frame());
    for (const size_t piece : {codes.size(), a_frame}) {
      const auto stream = voice_->new_wave(cx_, speaker, {}, {});
      std::vector<float> wave;
      for (size_t at = 0; at < codes.size(); at += piece) {
        const auto some = stream->push(cx_, std::span(codes).subspan(at, piece));
        wave.insert(wave.end(), some.begin(), some.end());
      }
      expected_.compare(name + ".wave", wave.data(), int64_t(wave.size()), kFloat32);
    }
  }

  Expected expected_;
  Json info_;
  ThreadPool pool_;
  Arena arena_;
  ops::Context cx_{pool_, arena_};
  ModelOptions options_;
  Family family_;
  std::unique_ptr<const Voice> voice_;
  std::vector<Segment> video_, audio_;
};

}  // namespace

std::vector<Line> compare_spoken(const fs::path& dir, const std::string& device,
                                 Precision precision) {
  return Spoken(dir, device, precision).run();
}

}  // namespace omni::parity
