// One utterance: rows of the Thinker → Talker → frames of codes → samples.
// (modeling_qwen3_omni_moe.py, Qwen3OmniMoeForConditionalGeneration.generate)
#include "qwen3_omni/voice.h"

#include <algorithm>
#include <cctype>
#include <utility>

namespace omni::qwen3_omni {

namespace {

constexpr int64_t kOpening = 3;  // rows of "<|im_start|>assistant\n"

std::string lower(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return char(std::tolower(c)); });
  return name;
}

}  // namespace

TalkerVoice::TalkerVoice(const Weights& file, const SpeechConfig& c, const LoadProgress& progress)
    : device_(file.device()),
      config_(c),
      thinker_embed_(to_device(file.get("thinker.model.embed_tokens.weight"), file.device())),
      talker_(file.scope("talker").at_least_int8(), c.talker, progress.part(0, 0.8)),
      code2wav_(file.scope("code2wav").with(Precision::float32), c.code2wav) {
  if (thinker_embed_.rank() != 2 || thinker_embed_.dim(1) != c.talker.thinker_hidden_size)
    file.fail("thinker.model.embed_tokens.weight", ErrorCode::corrupt_file,
              "is not as wide as the Talker's thinker_hidden_size");
}

std::vector<std::string> TalkerVoice::speakers() const {
  std::vector<std::string> names;
  for (const auto& [name, id] : config_.talker.speakers) names.push_back(name);
  return names;
}

std::string TalkerVoice::default_speaker() const {
  const auto& all = config_.talker.speakers;
  return all.count("ethan") ? "ethan" : all.begin()->first;
}

int32_t TalkerVoice::speaker(const std::string& name) const {
  std::string known;
  for (const auto& [n, id] : config_.talker.speakers) {
    if (lower(n) == lower(name)) return id;
    known += (known.empty() ? "" : ", ") + n;
  }
  throw Error(ErrorCode::invalid_argument,
              "no voice \"" + name + "\"; the checkpoint has " + known);
}

// The user's turns · opening of the answer · four rows of padding with what stands for no thought
// and the speaker · begin of speech with padding · first row of the reply with the codec's begin ·
// frame + row · frame + row … + end of text · frame + padding …
class TalkerVoice::Codes final : public CodeStream {
 public:
  Codes(const TalkerVoice& voice, VoicePrompt prompt, int32_t speaker)
      : voice_(voice),
        prompt_(std::move(prompt)),
        speaker_(speaker),
        sequence_(voice.talker_.new_sequence()),
        others_(voice.talker_.predictor().new_sequence()),
        residual_by_(greedy) {
    const TalkerConfig& c = config();
    allowed_.resize(size_t(c.text.vocab_size + 31) / 32);
    const auto allow = [&](int32_t id) { allowed_[size_t(id / 32)] |= uint32_t{1} << (id % 32); };
    const int n = std::min(c.text.vocab_size - kUnsaidCodes, voice.config_.code2wav.codebook_size);
    for (int32_t id = 0; id < n; ++id) allow(id);
    allow(c.codec_eos);
  }

  std::optional<int32_t> next(ops::Context& cx, const KeptRows& row,
                              const PickCode& pick) override {
    if (ended_ || (!has_begun_ && !row.values.defined())) return std::nullopt;
    Arena::Scope scope(cx.arena);
    const Tensor state = has_begun_ ? step(cx, row) : prefill(cx, row);  // [1, hidden]
    has_begun_ = true;
    const int32_t code = pick(cx, voice_.talker_.logits(cx, state), history_, allowed_);
    prompt_ = {};  // it has been read
    if (code == config().codec_eos) {
      ended_ = true;
      return std::nullopt;
    }
    if (std::find(history_.begin(), history_.end(), code) == history_.end())
      history_.push_back(code);
    say_others(cx, state, code);
    return code;
  }

  std::span<const int32_t> residual() const override { return residual_; }
  void draw_residual_by(PickCode pick) override { residual_by_ = std::move(pick); }

 private:
  static int32_t greedy(ops::Context& cx, const Tensor& logits, std::span<const int32_t>,
                        std::span<const uint32_t>) {
    std::vector<float> room;
    const auto values = ops::to_host(cx, logits, room);
    return int32_t(std::max_element(values.begin(), values.end()) - values.begin());
  }
  const TalkerConfig& config() const { return voice_.config_.talker; }

  // The frame is whole: what its codes are as a row is kept for the next step.
  void say_others(ops::Context& cx, const Tensor& state, int32_t code) {
    const Tensor first = voice_.talker_.codec_embed(cx, {&code, 1});  // [1, hidden]
    Tensor sum = ops::clone(cx, first);
    residual_ = voice_.talker_.predictor().others(cx, state, first, residual_by_, *others_, sum);
    std::vector<float> room;
    const auto values = ops::to_host(cx, sum, room);
    frame_.assign(values.begin(), values.end());
  }

  Tensor step(ops::Context& cx, const KeptRows& row) {
    Tensor x = ops::clone(  // [1, hidden]
        cx, ops::from_host(
                cx, Tensor::view(frame_.data(), DType::f32, {1, config().text.hidden_size})));
    ops::add_(cx, x, of_thinker_or(cx, row));
    const Position position{next_, next_, next_};
    ++next_;
    return voice_.talker_.forward(cx, x, {&position, 1}, *sequence_);
  }

  // A row of the reply, or what follows its last.
  Tensor of_thinker_or(ops::Context& cx, const KeptRows& row) {
    if (row.values.defined()) return voice_.talker_.of_text(cx, there(cx, row));
    return token(
        cx, std::exchange(text_ended_, true) ? voice_.config_.tts_pad : voice_.config_.tts_eos);
  }
  // Of the Thinker's vocabulary, as a row of the Talker.
  Tensor token(ops::Context& cx, int32_t id) const {
    return voice_.talker_.of_text(cx, ops::embedding(cx, {&id, 1}, voice_.thinker_embed_));
  }

  // On the context's device, behind what computes it.
  static Tensor there(ops::Context& cx, const KeptRows& rows) {
    if (rows.made) cx.arena.queue().run_behind(*rows.made);
    return ops::from_host(cx, rows.values);
  }

  bool is_media(int32_t id) const {
    const SpeechConfig& c = voice_.config_;
    return id == c.audio || id == c.image || id == c.video;
  }

  // Rows of the prompt that the Talker is told: the user's turns, one behind the other, and the
  // opening of the answer. Their positions begin at 0.
  std::vector<int64_t> choose_rows(std::vector<Position>& positions) {
    const SpeechConfig& c = voice_.config_;
    const std::vector<int32_t>& ids = prompt_.ids;
    const auto n = int64_t(ids.size());
    std::vector<int64_t> rows;
    int64_t answer = n;
    for (int64_t begin = 0; begin < n;) {
      int64_t end = begin + 1;
      while (end < n && ids[size_t(end)] != c.im_start) ++end;
      const int32_t role = begin + 1 < n ? ids[size_t(begin + 1)] : -1;
      if (ids[size_t(begin)] == c.im_start && role == c.user) {
        const int32_t shift = prompt_.positions[size_t(begin)][0] - next_;
        for (int64_t i = begin; i < end; ++i) {
          rows.push_back(i);
          Position p = prompt_.positions[size_t(i)];
          for (int32_t& axis : p) axis -= shift;
          positions.push_back(p);
        }
        next_ = positions.back()[0] + 1;
      }
      if (ids[size_t(begin)] == c.im_start && role == c.assistant) answer = begin;
      begin = end;
    }
    for (int64_t i = answer; i < std::min(n, answer + kOpening); ++i) {
      rows.push_back(i);
      positions.push_back({next_, next_, next_});
      ++next_;
    }
    return rows;
  }

  Tensor prefill(ops::Context& cx, const KeptRows& row) {
    const TalkerConfig& c = config();
    const int64_t width = c.thinker_hidden_size, hidden = c.text.hidden_size;
    std::vector<Position> positions;
    const std::vector<int64_t> rows = choose_rows(positions);
    const auto n = int64_t(rows.size());
    constexpr int64_t kBehind = 6;  // the speaker's row among them
    Tensor x = cx.arena.f32({n + kBehind, hidden});
    if (n) put_prompt(cx, rows, width, x);
    const int32_t codes[kBehind] = {c.codec_nothink, c.codec_think_bos, c.codec_think_eos,
                                    speaker_,        c.codec_pad,       c.codec_bos};
    Tensor behind = x.rows(n, n + kBehind);
    ops::copy_(cx, behind, voice_.talker_.codec_embed(cx, codes));
    const auto add = [&](int64_t at, const Tensor& values) {
      Tensor to = behind.rows(at, at + 1);
      ops::add_(cx, to, values);
    };
    const Tensor pad = token(cx, voice_.config_.tts_pad);
    for (int64_t i = 0; i < 4; ++i) add(i, pad);
    add(4, token(cx, voice_.config_.tts_bos));
    add(5, voice_.talker_.of_text(cx, there(cx, row)));
    for (int64_t i = 0; i < kBehind; ++i, ++next_) positions.push_back({next_, next_, next_});
    return voice_.talker_.forward(cx, x, positions, *sequence_);
  }

  // x[i] ← row rows[i] of the prompt.
  void put_prompt(ops::Context& cx, const std::vector<int64_t>& rows, int64_t width, Tensor& x) {
    const auto n = int64_t(rows.size()), whole = int64_t(prompt_.ids.size());
    Tensor all = cx.arena.f32({whole, width});
    int64_t at = 0;
    for (const KeptRows& piece : prompt_.rows) {
      Tensor to = all.rows(at, at + piece.values.dim(0));
      ops::copy_(cx, to, there(cx, piece));
      at += piece.values.dim(0);
    }
    if (at != whole)
      throw Error(ErrorCode::internal,
                  std::to_string(at) + " rows of " + std::to_string(whole) + " tokens");
    std::vector<int64_t> text, media, order(static_cast<size_t>(n));
    for (const int64_t row : rows)
      (is_media(prompt_.ids[size_t(row)]) ? media : text).push_back(row);
    int64_t n_text = 0, n_media = int64_t(text.size());
    for (size_t i = 0; i < rows.size(); ++i)
      order[i] = is_media(prompt_.ids[size_t(rows[i])]) ? n_media++ : n_text++;
    Tensor projected = cx.arena.f32({n, x.dim(1)});  // text, then media
    const auto put = [&](int64_t begin, int64_t end, const Tensor& values) {
      Tensor to = projected.rows(begin, end);
      ops::copy_(cx, to, values);
    };
    if (!text.empty()) put(0, n_text, voice_.talker_.of_text(cx, ops::index_select(cx, all, text)));
    if (!media.empty())
      put(n_text, n, voice_.talker_.of_media(cx, ops::index_select(cx, all, media)));
    Tensor to = x.rows(0, n);
    ops::copy_(cx, to, ops::index_select(cx, projected, order));
  }

  const TalkerVoice& voice_;
  VoicePrompt prompt_;
  std::vector<uint32_t> allowed_;  // a bit a code
  int32_t speaker_, next_ = 0;     // next_: position
  bool has_begun_ = false, text_ended_ = false, ended_ = false;
  std::vector<int32_t> history_;  // first codes, each once
  std::unique_ptr<TalkerSequence> sequence_, others_;
  PickCode residual_by_;
  std::vector<int32_t> residual_;
  std::vector<float> frame_;  // [hidden], of the last frame
};

// The last samples, that no frame completes, are silent: a frame lasts as long as any other.
class TalkerVoice::Wave final : public WaveStream {
 public:
  explicit Wave(const TalkerVoice& voice) : voice_(voice), stream_(voice.code2wav_) {}
  std::vector<float> push(ops::Context& cx, std::span<const int32_t> codes) override {
    std::vector<float> samples = stream_.push(cx, codes);
    n_missing_ += int64_t(codes.size()) / voice_.codes_per_frame() * voice_.samples_per_code() -
                  int64_t(samples.size());
    return samples;
  }
  std::vector<float> finish(ops::Context&) override {
    return std::vector<float>(size_t(std::exchange(n_missing_, 0)));
  }

 private:
  const TalkerVoice& voice_;
  Code2Wav::Stream stream_;
  int64_t n_missing_ = 0;
};

std::unique_ptr<CodeStream> TalkerVoice::new_codes(VoicePrompt prompt,
                                                   const std::string& name) const {
  return std::make_unique<Codes>(*this, std::move(prompt), speaker(name));
}

std::unique_ptr<WaveStream> TalkerVoice::new_wave(ops::Context&, const std::string& name,
                                                  FrameNoise, const FlowSettings&) const {
  speaker(name);  // throws for an unknown one
  return std::make_unique<Wave>(*this);
}

}  // namespace omni::qwen3_omni
