#include "parity/parity.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "audio/log_mel.h"
#include "decoding/sampler.h"
#include "engine/devices.h"
#include "interface/lone_sequence.h"
#include "io/json.h"
#include "models/registry.h"
#include "omni/engine.h"
#include "parity/recording.h"
#include "parity/spoken.h"
#include "video/colour.h"

namespace omni::parity {
namespace {

namespace fs = std::filesystem;

constexpr double kFloat32 = 1e-5, kMel = 1e-4;

class Comparison {
 public:
  Comparison(const fs::path& dir, const std::string& device, Precision precision)
      : dir_(dir),
        expected_(dir / "expected.safetensors"),
        info_(Json::parse_file(dir / "expected.json")),
        in_(read_input(dir / "input")),
        arena_(open_device(device)),
        options_{dir / "checkpoint", precision, arena_.device()},
        family_(load_family(options_, {})),
        engine_(Engine::open({.model_path = (dir / "checkpoint").string(),
                              .device = device,
                              .precision = precision})) {}

  std::vector<Line> run() {
    check_tokenizer();
    const Json cases = info_.at("cases");
    for (const std::string& name : cases.keys()) {
      const Json c = cases.at(name);
      if (c.has("user") || c.has("turns"))
        check_case(name, c);
      else
        check_speech(name, c);
    }
    return expected_.take_lines();
  }

 private:
  struct Parts {
    std::vector<Segment> segments;
    Tracks tracks;
  };
  // What a case gave to the chat template.
  struct Turn {
    size_t n_images = 0;
    bool video = false, audio = false;
    std::string user;
    std::optional<std::string> assistant;
  };

  ops::Context cx() { return {pool_, arena_}; }
  std::vector<float> host(const Tensor& x) {
    std::vector<float> room;
    auto c = cx();
    const auto values = ops::to_host(c, x, room);
    return {values.begin(), values.end()};
  }
  Tensor there(std::vector<float>& x, Shape shape) {
    auto c = cx();
    return ops::from_host(c, Tensor::view(x.data(), DType::f32, shape));
  }

  void check_tokenizer() {
    if (!info_.has("tokenizer")) return;
    const Json list = info_.at("tokenizer");
    for (size_t i = 0; i < list.size(); ++i) {
      const std::string text = list.at(i).at("text").string(),
                        where = "tokenizer[" + std::to_string(i) + "]";
      const auto ids = family_.prompter->tokenizer().encode(text);
      expected_.compare(where, ids, list.at(i).at("ids").integers(0, INT32_MAX));
      const std::string decoded = family_.prompter->tokenizer().decode(ids, false);
      if (decoded != list.at(i).at("decoded").string())
        expected_.add(where + ".decoded", 1, 0, decoded);
    }
  }

  // Every eighth patch, in levels of 1/255.
  void check_pixels(const std::string& name, const std::vector<float>& patches) {
    if (!expected_.has(name)) return;
    const Tensor b = expected_.f32(name);
    const int64_t width = b.dim(1), n = b.dim(0);
    if (int64_t(patches.size()) / width <= (n - 1) * 8) {
      expected_.add(name, INFINITY, 0, std::to_string(patches.size() / size_t(width)) + " patches");
      return;
    }
    int64_t off = 0;
    double worst = 0;
    for (int64_t i = 0; i < n; ++i)
      for (int64_t c = 0; c < width; ++c) {
        const double std = family_.vision->spec().layout.std[size_t(c / (width / 3))];
        const double levels =
            std::abs(double(patches[size_t(i * 8 * width + c)]) - double(b.f32()[i * width + c])) *
            std * 255;
        if (levels > 0.6) ++off;
        worst = std::max(worst, levels);
      }
    const double share = double(off) / double(b.numel());
    Line& line =
        expected_.add(name, share, 0.01,
                      "share of pixels that differ; at most " + std::to_string(worst) + " levels");
    line.pass = share < 0.01 && worst < 1.5;
  }

  // A pair of frames, or an image.
  Segment picture(const std::array<VideoFrame, 2>& frames, bool image, Nanoseconds start,
                  std::vector<float>& all_patches) {
    const VisionEncoder& vision = *family_.vision;
    PixelLimits limits = image ? vision.spec().image : vision.spec().video;
    if (!image) {
      limits.min = engine_->defaults().min_pixels.value_or(limits.min);
      limits.max = engine_->defaults().max_pixels.value_or(limits.max);
      if (limits.frames > 1) limits.frames = in_.frames;
    }
    const ImagePlan plan = vision.plan({frames[0].height, frames[0].width}, limits);
    std::vector<uint8_t> rgb[2];
    FrameScaler scaler;
    for (size_t i = 0; i < 2; ++i) {
      rgb[i].resize(size_t(plan.size.width) * size_t(plan.size.height) * 3);
      scaler.run(frames[i], plan.size, rgb[i].data());
    }
    const int64_t n_patches = int64_t{plan.grid_h} * plan.grid_w;
    std::vector<float> patches(size_t(n_patches * plan.patch_size));
    patchify(vision.spec().layout, plan.size, rgb[0].data(), rgb[1].data(), patches.data());
    all_patches.insert(all_patches.end(), patches.begin(), patches.end());
    Arena::Scope scope(arena_);
    auto c = cx();
    const Tensor y = vision.encode(
        c, Tensor::view(patches.data(), DType::f32, {n_patches, plan.patch_size}), plan);
    Segment s;
    s.modality = image ? Modality::image : Modality::video;
    s.n_tokens = int(y.dim(0)), s.hidden = int(y.dim(1));
    s.embeddings = host(y);
    s.grid_h = plan.tokens_h, s.grid_w = plan.tokens_w;
    s.seconds_per_grid = 2 / in_.fps.value();
    s.start = start;
    s.duration = std::llround(s.seconds_per_grid * double(kSecond));
    return s;
  }

  VideoFrame frame(int index) const {
    return rgb_frame(in_.rgb, in_.width, in_.height, std::min(index, in_.frames - 1), 0);
  }
  Nanoseconds time_of(int index) const {
    return std::llround(index / in_.fps.value() * double(kSecond));
  }
  Segment pair_of_frames(int pair, std::vector<float>& patches) {
    const int first = 2 * pair, second = std::min(first + 1, in_.frames - 1);
    Segment s = picture({frame(first), frame(second)}, false, time_of(first), patches);
    s.frames_apart = time_of(second) - time_of(first);
    return s;
  }
  VideoFrame image(size_t index) const {
    const Input::Image& i = in_.images.at(index);
    return rgb_frame(i.rgb, i.width, i.height, 0, 0);
  }

  void add_pictures(const std::string& name, const Turn& turn, Parts& parts) {
    std::vector<float> patches, embeds;
    const auto add = [&](Segment s) {
      embeds.insert(embeds.end(), s.embeddings.begin(), s.embeddings.end());
      parts.segments.push_back(std::move(s));
    };
    for (size_t i = 0; i < turn.n_images; ++i)
      add(picture({image(i), image(i)}, true, Nanoseconds(i), patches));
    for (int p = 0; turn.video && p < (in_.frames + 1) / 2; ++p) add(pair_of_frames(p, patches));
    parts.tracks.video = true;
    check_pixels(name + (turn.video ? ".pixel_values_videos_every8" : ".pixel_values_every8"),
                 patches);
    expected_.compare(name + ".vision_embeds", embeds.data(), int64_t(embeds.size()), kFloat32);
  }

  void add_sound(const std::string& name, Parts& parts) {
    const AudioSpec& spec = family_.audio->spec();
    LogMel mel(spec.n_mels, {}, spec.tail);
    std::vector<float> frames;
    mel.push(in_.audio, frames);
    mel.finish(frames);
    LogMel::normalise(frames, *std::max_element(frames.begin(), frames.end()));
    const int64_t n = int64_t(frames.size()) / spec.n_mels;
    std::vector<float> by_mel(frames.size());  // transformers keeps [mel, frame]
    for (int64_t f = 0; f < n; ++f)
      for (int64_t m = 0; m < spec.n_mels; ++m)
        by_mel[size_t(m * n + f)] = frames[size_t(f * spec.n_mels + m)];
    expected_.compare(name + ".input_features", by_mel.data(), int64_t(by_mel.size()), kMel, true);
    std::vector<float> embeds;
    for (int64_t begin = 0, unit = spec.unit_frames; begin < n; begin += unit) {
      const int64_t end = std::min(n, begin + unit);
      Arena::Scope scope(arena_);
      auto c = cx();
      const Tensor y =
          family_.audio->encode(c, Tensor::view(frames.data() + begin * spec.n_mels, DType::f32,
                                                {end - begin, spec.n_mels}));
      const std::vector<float> values = host(y);
      embeds.insert(embeds.end(), values.begin(), values.end());
      const int64_t most = spec.segment_frames ? spec.segment_frames : end - begin;
      for (int64_t first = begin, token = 0; first < end; first += most) {
        Segment s;
        s.modality = Modality::audio;
        s.n_tokens = s.grid_t = first + most < end ? spec.segment_tokens : int(y.dim(0) - token);
        s.hidden = int(y.dim(1));
        s.embeddings.assign(values.begin() + token * s.hidden,
                            values.begin() + (token + s.n_tokens) * s.hidden);
        s.seconds_per_grid = spec.seconds_per_token;
        s.start = first * kSecond / 100;
        s.duration = std::min(most, end - first) * kSecond / 100;
        token += s.n_tokens;
        parts.segments.push_back(std::move(s));
      }
    }
    parts.tracks.audio = true;
    expected_.compare(name + ".audio_embeds", embeds.data(), int64_t(embeds.size()), kFloat32);
  }

  static std::vector<Turn> turns_of(const std::string& name, const Json& c) {
    if (!c.has("turns")) {
      std::string user = c.at("user").string();
      const auto says = [&](const char* token) { return user.find(token) != std::string::npos; };
      Turn turn{says("<|IMAGE|>"), says("<|VIDEO|>"), says("<|AUDIO|>") || name == "av", {}, {}};
      const size_t end = user.rfind("_eos|>");
      turn.user = end == std::string::npos ? user : user.substr(end + 6);
      return {turn};
    }
    std::vector<Turn> turns;
    for (size_t i = 0; i < c.at("turns").size(); ++i) {
      const Json t = c.at("turns").at(i), media = t.at("media");
      Turn& turn = turns.emplace_back();
      turn.user = t.at("user").string();
      if (t.has("assistant")) turn.assistant = t.at("assistant").string();
      for (size_t k = 0; k < media.size(); ++k)
        media.at(k).string() == "image"   ? void(++turn.n_images)
        : media.at(k).string() == "audio" ? void(turn.audio = true)
                                          : void(turn.video = true);
    }
    return turns;
  }

  // Empty: what the template itself puts there.
  static std::string system_of(const Json& c) {
    if (c.has("turns")) return c.string_or("system", "");
    const std::string prompt = c.at("prompt").string(), open = "<|im_start|>system\n";
    if (!prompt.starts_with(open)) return {};
    return prompt.substr(open.size(), prompt.find("<|im_end|>") - open.size());
  }

  struct LaidOut {
    Rows rows;
    std::vector<float> x;                  // [n, hidden]
    std::vector<std::vector<float>> deep;  // by level, likewise
    Cursor cursor;
  };

  // The chunks of one run, laid out as the session lays them out, but in one piece.
  void lay_out(const Parts& parts, LaidOut& l) {
    const Nanoseconds chunk = family_.prompter->chunk_duration();
    Nanoseconds end = 0;
    for (const Segment& s : parts.segments)
      end = std::max(end, s.start + std::max<Nanoseconds>(s.duration, 1));
    for (Nanoseconds begin = 0; begin < end; begin += chunk)
      for (bool sound : {false, true})
        for (const Segment& s : parts.segments) {
          if ((s.modality == Modality::audio) != sound || s.start < begin ||
              s.start >= begin + chunk)
            continue;
          append(l, family_.prompter->media(l.cursor, s, 0), s.embeddings.data());
        }
  }

  // Text rows are looked up, the rows between have `values` [n, media_width].
  void append(LaidOut& l, const Rows& rows, const float* values = nullptr) {
    const auto hidden = size_t(family_.text->hidden()), n = rows.size() - rows.n_behind;
    l.deep.resize(size_t(family_.text->n_deep_levels()));
    Arena::Scope scope(arena_);
    auto c = cx();
    std::vector<float> e = host(family_.text->embed(c, rows.ids));
    std::vector<std::vector<float>> deep(l.deep.size(), std::vector<float>(e.size()));
    for (size_t i = rows.n_before; values && i < n; ++i) {
      std::copy_n(values, hidden, e.data() + i * hidden);
      values += hidden;
      for (std::vector<float>& level : deep) {
        std::copy_n(values, hidden, level.data() + i * hidden);
        values += hidden;
      }
    }
    l.x.insert(l.x.end(), e.begin(), e.end());
    for (size_t i = 0; i < deep.size(); ++i)
      l.deep[i].insert(l.deep[i].end(), deep[i].begin(), deep[i].end());
    l.rows.ids.insert(l.rows.ids.end(), rows.ids.begin(), rows.ids.end());
    l.rows.positions.insert(l.rows.positions.end(), rows.positions.begin(), rows.positions.end());
  }
  // [n, hidden] behind the last norm, of all rows.
  Tensor forward(LoneSequence& sequence, ops::Context& c, LaidOut& l) {
    const Shape shape{int64_t(l.rows.size()), family_.text->hidden()};
    DeepFeatures deep;
    for (std::vector<float>& level : l.deep) deep.levels.push_back(there(level, shape));
    return sequence.forward(*family_.text, c, there(l.x, shape), l.rows.positions, Lane::text,
                            deep);
  }
  // A prompt as rows of the text model.
  LaidOut lay_out_case(const std::string& name, const Json& c) {
    LaidOut l;
    append(l, family_.prompter->begin_dialogue(l.cursor, system_of(c)));
    for (const Turn& turn : turns_of(name, c)) {
      Parts parts;
      if (turn.n_images || turn.video) add_pictures(name, turn, parts);
      if (turn.audio) add_sound(name, parts);
      if (parts.tracks.any()) {
        append(l, family_.prompter->begin_run(l.cursor, parts.tracks, parts.segments[0].modality));
        lay_out(parts, l);
        append(l, family_.prompter->end_run(l.cursor, parts.tracks));
      }
      append(l, turn.assistant ? family_.prompter->answered(l.cursor, turn.user, *turn.assistant)
                               : family_.prompter->ask(l.cursor, turn.user));
    }
    return l;
  }

  void check_case(const std::string& name, const Json& c) {
    LaidOut l = lay_out_case(name, c);
    expected_.compare(name + ".input_ids", l.rows.ids, expected_.ids(name + ".input_ids"));
    if (expected_.has(name + ".position_ids")) {
      const std::vector<int64_t> b = expected_.ids(name + ".position_ids");  // [3, n]
      std::vector<int32_t> a;
      for (size_t axis = 0; axis < 3; ++axis)
        for (const Position& p : l.rows.positions) a.push_back(p[axis]);
      expected_.compare(name + ".position_ids", a, b);
    }
    expected_.compare(name + ".hidden_embeds", l.x.data(), int64_t(l.x.size()), kFloat32);

    {
      Arena::Scope scope(arena_);
      auto context = cx();
      LoneSequence sequence(*family_.text);
      const int64_t n = int64_t(l.rows.size());
      const Tensor y = forward(sequence, context, l);
      expected_.compare(name + ".hidden_last_layer", host(y).data(), y.numel(), kFloat32);
      const Tensor logits = family_.text->logits(context, y.rows(n - 1, n));
      expected_.compare(name + ".logits_last", host(logits).data(), logits.numel(), kFloat32);
    }
    const std::vector<Turn> turns = turns_of(name, c);
    if (turns.size() == 1) check_greedy(name, c, turns[0]);
  }

  // Greedy text, its rows for the Talker, greedy codes; mel from the reference's codes and noise,
  // wave from the reference's mel.
  void check_speech(const std::string& name, const Json& c) {
    const auto voice = family_.load_voice(options_, {});
    const std::string of = name == "speech" ? "text" : "av", speaker = c.at("speaker").string();
    LaidOut l = lay_out_case(of, info_.at("cases").at(of));
    const int64_t n = int64_t(l.rows.size()), width = family_.text->hidden();
    VoicePrompt spoken;
    std::vector<std::vector<float>> reply;
    spoken.positions = l.rows.positions;
    const auto media = [&](int32_t id) {
      for (const char* token : {"<|VIDEO|>", "<|IMAGE|>", "<|AUDIO|>"})
        if (family_.prompter->tokenizer().token_id(token) == id) return true;
      return false;
    };
    {
      Arena::Scope scope(arena_);
      auto context = cx();
      LoneSequence sequence(*family_.text);
      const Tensor y = forward(sequence, context, l);
      const std::vector<float> states = host(y);
      Tensor rows = Tensor::zeros(DType::f32, {n, width});  // [n, hidden]
      std::copy(states.begin(), states.end(), rows.f32());
      for (int64_t i = 0; i < n; ++i)
        if (!media(l.rows.ids[size_t(i)]))
          for (int64_t k = 0; k < width; ++k)
            rows.f32()[i * width + k] += l.x[size_t(i * width + k)];
      spoken.rows = {{rows}};
      std::vector<float> last = host(y.rows(n - 1, n));
      for (int64_t k = 0; k < c.integer("thinker_max_new_tokens", 1, 4096); ++k) {
        Arena::Scope step(arena_);
        const std::vector<float> logits =
            host(family_.text->logits(context, there(last, {1, width})));
        const auto id = int32_t(std::max_element(logits.begin(), logits.end()) - logits.begin());
        if (family_.prompter->is_stop(id) || k + 1 == c.integer("thinker_max_new_tokens", 1, 4096))
          break;
        const Tensor e = family_.text->embed(context, {&id, 1});
        const int32_t at = l.cursor.next++;
        const Position p{at, at, at};
        last = host(sequence.forward(*family_.text, context, e, {&p, 1}));
        std::vector<float>& row = reply.emplace_back(host(e));
        for (int64_t d = 0; d < width; ++d) row[size_t(d)] += last[size_t(d)];
      }
    }
    const auto expected = expected_.ids(name + ".codes");
    auto context = cx();
    const SamplingOptions greedy{.repetition_penalty =
                                     c.number_or("talker_repetition_penalty", 1, 0.01, 100)};
    Sampler sampler(0);
    const PickCode pick = [&](ops::Context& on, const Tensor& logits,
                              std::span<const int32_t> history, std::span<const uint32_t> allowed) {
      return sampler.choose(on, logits, history, greedy, allowed);
    };
    const auto talk = voice->new_codes(std::move(spoken), speaker);
    std::vector<int32_t> codes;
    for (int64_t k = 0; k < c.integer("talker_max_new_tokens", 1, 100000); ++k) {
      KeptRows row;
      if (size_t(k) < reply.size())
        row.values = Tensor::view(reply[size_t(k)].data(), DType::f32, {1, width});
      const auto code = talk->next(context, row, pick);
      if (!code) break;
      codes.push_back(*code);
    }
    expected_.compare(name + ".codes", codes, expected);

    std::vector<int32_t> theirs(expected.begin(), expected.end());
    const Tensor noise = expected_.f32(name + ".noise");
    const FrameNoise by_number = [&](int64_t frame, std::span<float> row) {
      std::copy_n(noise.f32() + frame * int64_t(row.size()), row.size(), row.data());
    };
    const Tensor mel = voice->mel(context, theirs, speaker, by_number, {});
    // transformers keeps [mel, frame]
    const int64_t frames = mel.dim(0), bins = mel.dim(1);
    std::vector<float> turned(size_t(mel.numel()));
    for (int64_t i = 0; i < frames; ++i)
      for (int64_t k = 0; k < bins; ++k) turned[size_t(k * frames + i)] = mel.f32()[i * bins + k];
    expected_.compare(name + ".mel", turned.data(), mel.numel(), kFloat32);
    const Tensor theirs_mel = expected_.f32(name + ".mel");
    Tensor by_frame = Tensor::zeros(DType::f32, {frames, bins});
    for (int64_t i = 0; i < frames; ++i)
      for (int64_t k = 0; k < bins; ++k)
        by_frame.f32()[i * bins + k] = theirs_mel.f32()[k * frames + i];
    const std::vector<float> wave = voice->wave(context, by_frame);
    expected_.compare(name + ".wave", wave.data(), int64_t(wave.size()), 1e-4, true);
  }

  // Through the public API, from raw pictures and samples to text.
  void check_greedy(const std::string& name, const Json& c, const Turn& turn) {
    SessionOptions o;
    o.system_prompt = system_of(c);
    o.settings.has_video = turn.n_images || turn.video;
    o.settings.has_audio = turn.audio;
    o.most_waiting = SIZE_MAX;
    auto session = engine_->make_session(o);
    const auto put = [&](std::optional<Segment> s) {
      if (s) session->put(std::move(*s));
    };
    if (o.settings.has_video) {
      auto video = engine_->make_video_tokenizer(
          {.frame_rate = in_.fps, .still = !turn.video, .frames = in_.frames});
      for (size_t i = 0; i < turn.n_images; ++i) {
        VideoFrame f = image(i);
        f.time = Nanoseconds(i) * kSecond;  // a chunk holds a second at least
        put(video->push(f));
      }
      for (int i = 0; turn.video && i < in_.frames; ++i) {
        VideoFrame f = frame(i);
        f.time = time_of(i);
        put(video->push(f));
      }
      put(video->finish());
      session->put(TrackEnded{Track::video});
    }
    if (turn.audio) {
      auto audio = engine_->make_audio_tokenizer({});
      audio->start(0);
      for (auto& s : audio->push(in_.audio)) session->put(std::move(s));
      for (auto& s : audio->finish()) session->put(std::move(s));
      session->put(TrackEnded{Track::audio});
    }
    const auto expected = expected_.ids(name + ".generated");
    const SamplingOptions sampling{
        .max_tokens = int(expected.size()),
        .repetition_penalty = engine_->defaults().repetition_penalty.value_or(1)};
    const Answer answer = ask_and_wait(*session, {turn.user, sampling});
    const bool weak = c.has("min_margin") && c.number("min_margin", 0, 1e6) < 1e-3;
    const bool equal = answer.text == c.at("text").string();
    Line& line = expected_.add(
        name + ".text", equal ? 0 : 1, 0,
        equal ? "equal" : "\"" + answer.text + "\" instead of \"" + c.at("text").string() + "\"");
    if (!equal && weak)
      line.pass = true, line.worst += " (the seed's margin is too small to compare)";
  }

  fs::path dir_;
  Expected expected_;
  Json info_;
  Input in_;
  ThreadPool pool_;
  Arena arena_;
  ModelOptions options_;
  Family family_;
  std::shared_ptr<const Engine> engine_;
};

}  // namespace

// A directory with tokenizer.json and tokenizer_texts.json alone: [{text, ids}].
static std::vector<Line> compare_tokenizer(const fs::path& dir) {
  const BpeTokenizer tokenizer(dir / "tokenizer.json");
  const Json texts = Json::parse_file(dir / "tokenizer_texts.json");
  std::vector<Line> lines;
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto ids = tokenizer.encode(texts.at(i).at("text").string());
    const auto expected = texts.at(i).at("ids").integers(0, INT32_MAX);
    const bool equal = std::equal(ids.begin(), ids.end(), expected.begin(), expected.end());
    lines.push_back(
        {"tokenizer[" + std::to_string(i) + "]", equal ? 0. : 1., 0,
         std::to_string(ids.size()) + " ids, expected " + std::to_string(expected.size()), equal});
  }
  return lines;
}

// Every case is spoken, by a voice whose frames have several codes.
static bool is_spoken(const fs::path& dir) {
  const Json cases = Json::parse_file(dir / "expected.json").at("cases");
  const auto names = cases.keys();
  return std::all_of(names.begin(), names.end(), [&](const std::string& name) {
    return cases.at(name).has("turns") && cases.at(name).has("speaker");
  });
}

std::vector<Line> compare(const fs::path& dir, const std::string& device, Precision precision) {
  if (fs::exists(dir / "tokenizer_texts.json")) return compare_tokenizer(dir);
  if (is_spoken(dir)) return compare_spoken(dir, device, precision);
  return Comparison(dir, device, precision).run();
}

std::string format(const Line& l) {
  char head[160];
  std::snprintf(head, sizeof head, "%-4s %-34s %9.2e (≤ %.0e)  ", l.pass ? "pass" : "FAIL",
                l.boundary.c_str(), l.error, l.tolerance);
  return head + l.worst;
}

}  // namespace omni::parity
