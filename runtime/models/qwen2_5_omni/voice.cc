// One utterance: rows of the Thinker → Talker → codes → flow → mel → vocoder → samples.
// (modeling_qwen2_5_omni.py, Qwen2_5OmniForConditionalGeneration.generate)
#include "qwen2_5_omni/voice.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "io/tensor_pickle.h"

namespace omni::qwen2_5_omni {

namespace {

std::map<std::string, Speaker> read_speakers(const std::filesystem::path& path,
                                             const DitConfig& c) {
  const PickledValue all = read_tensor_pickle(path);
  std::map<std::string, Speaker> out;
  for (const auto& entry : all.members) {
    const std::string& name = entry.first;
    const PickledValue& v = entry.second;
    const auto fail = [&](const std::string& what) {
      throw Error(ErrorCode::corrupt_file, path.string() + ": voice " + name + " " + what);
    };
    const auto member = [&](const char* key, PickledValue::Kind kind) -> const PickledValue& {
      const auto there = v.members.find(key);
      if (there == v.members.end() || there->second.kind != kind)
        fail(std::string("has no usable ") + key);
      return there->second;
    };
    Speaker speaker{int32_t(member("bos_token", PickledValue::integer).number),
                    member("cond", PickledValue::tensor).values,
                    member("ref_mel", PickledValue::tensor).values};
    if (speaker.cond.numel() != c.enc_emb_dim)
      fail("has a cond of " + speaker.cond.shape().str() + ", config.json asks for " +
           std::to_string(c.enc_emb_dim));
    if (speaker.ref_mel.numel() == 0 || speaker.ref_mel.numel() % c.mel_dim)
      fail("has a ref_mel of " + speaker.ref_mel.shape().str());
    speaker.ref_mel = speaker.ref_mel.reshape({speaker.ref_mel.numel() / c.mel_dim, c.mel_dim});
    if (speaker.ref_mel.dim(0) < kLeastVoiceFrames) fail("has too short a ref_mel");
    out.emplace(name, std::move(speaker));
  }
  if (out.empty()) throw Error(ErrorCode::corrupt_file, path.string() + " has no voices");
  return out;
}

// The reference's are float32. Where a device may round, with factors rounded to bfloat16 the mel
// spectrogram is 50 dB nearer to it than its own deviation (0.01 dB of loudness), and several times
// faster; the vocoder, where one would hear that (26 dB), has TF32 (three bits more, 18 dB), as the
// reference has on such a device unless it is told otherwise.
bool may_round(const ModelOptions& o) { return o.device && o.precision != Precision::float32; }

Weights for_flow(const Weights& w, const ModelOptions& o) {
  return w.with(may_round(o) ? Precision::bfloat16 : Precision::float32);
}

Weights for_vocoder(const Weights& w, const ModelOptions& o) {
  const Weights exact = w.with(Precision::float32);
  return may_round(o) ? exact.allow_tf32() : exact;
}

}  // namespace

TalkerVoice::TalkerVoice(const ModelOptions& o, const Weights& file, const SpeechConfig& c,
                         const LoadProgress& progress)
    : device_(file.device()),
      speakers_(read_speakers(o.folder / "spk_dict.pt", c.dit)),
      thinker_embed_(to_device(file.get("thinker.model.embed_tokens.weight"), file.device())),
      talker_(file.scope("talker").at_least_int8(), c.talker, progress.part(0, 0.5)),
      dit_(for_flow(file.scope("token2wav.code2wav_dit_model"), o), c.dit, progress.part(0.5, 0.9)),
      bigvgan_(for_vocoder(file.scope("token2wav.code2wav_bigvgan_model"), o), c.bigvgan) {
  if (thinker_embed_.rank() != 2 || thinker_embed_.dim(1) != c.talker.text.embedding_size)
    throw Error(
        ErrorCode::corrupt_file,
        o.folder.string() + ": the Talker's embedding_size is not the Thinker's hidden_size");
}

std::vector<std::string> TalkerVoice::speakers() const {
  std::vector<std::string> names;
  for (const auto& [name, speaker] : speakers_) names.push_back(name);
  return names;
}

const Speaker& TalkerVoice::speaker(const std::string& name) const {
  const auto there = speakers_.find(name);
  if (there != speakers_.end()) return there->second;
  std::string known;
  for (const auto& [n, v] : speakers_) known += (known.empty() ? "" : ", ") + n;
  throw Error(ErrorCode::invalid_argument,
              "no voice \"" + name + "\"; the checkpoint has " + known);
}

// prompt · speaker's bos + codec pad · first row of the reply + codec start · code + row · code +
// row … + end of text · code + padding …
class TalkerVoice::Codes final : public CodeStream {
 public:
  Codes(const TalkerVoice& voice, VoicePrompt prompt, const Speaker& speaker)
      : voice_(voice),
        prompt_(std::move(prompt)),
        bos_(speaker.bos_token),
        sequence_(voice.talker_.new_sequence()) {
    for (const Position& p : prompt_.positions)
      next_ = std::max(next_, 1 + *std::max_element(p.begin(), p.end()));
    const TalkerConfig& c = voice.talker_.config();
    // What is neither a sound nor an end is not to be had, however likely a checkpoint finds it.
    allowed_.resize(size_t(c.text.vocab_size + 31) / 32);
    const auto allow = [&](int32_t id, bool is_allowed) {
      if (id < 0 || id >= c.text.vocab_size) return;
      const uint32_t bit = uint32_t{1} << (id % 32);
      uint32_t& bits = allowed_[size_t(id / 32)];
      bits = is_allowed ? bits | bit : bits & ~bit;
    };
    for (int32_t id = 0; id < voice.dit_.n_codes(); ++id) allow(id, true);
    allow(c.codec_pad, true), allow(c.codec_end, true), allow(c.codec_start, false);
  }

  std::optional<int32_t> next(ops::Context& cx, const KeptRows& row,
                              const PickCode& pick) override {
    const TalkerConfig& c = voice_.talker_.config();
    if (ended_ || (history_.empty() && !row.values.defined())) return std::nullopt;
    Arena::Scope scope(cx.arena);
    Tensor logits;  // [1, codes]
    if (history_.empty()) {
      logits = prefill(cx, row);
    } else {
      Tensor x = of_thinker_or(cx, row);  // [1, embedding_size]
      ops::add_(cx, x, voice_.talker_.codec_embed(cx, last_));
      const Position position{next_, next_, next_};
      logits = voice_.talker_.forward(cx, x, {&position, 1}, *sequence_);
      ++next_;
    }
    const int32_t code = pick(cx, logits, history_, allowed_);
    prompt_ = {};  // it has been read
    if (code == c.codec_pad || code == c.codec_end) {
      ended_ = true;
      return std::nullopt;
    }
    remember(code);
    return code;
  }

 private:
  Tensor prefill(ops::Context& cx, const KeptRows& row) {
    const TalkerConfig& c = voice_.talker_.config();
    const int64_t n = int64_t(prompt_.positions.size());
    Tensor rows = cx.arena.f32({n + 2, c.text.embedding_size});
    int64_t at = 0;
    const auto put = [&](const Tensor& values) {
      Tensor to = rows.rows(at, at + values.dim(0));
      ops::copy_(cx, to, values);
      at += values.dim(0);
    };
    for (const KeptRows& piece : prompt_.rows) put(there(cx, piece));
    if (at != n)
      throw Error(ErrorCode::internal,
                  std::to_string(at) + " rows at " + std::to_string(n) + " positions");
    put(ops::embedding(cx, {&bos_, 1}, voice_.thinker_embed_));
    put(there(cx, row));
    Tensor bos = rows.rows(n, n + 1), first = rows.rows(n + 1, n + 2);
    ops::add_(cx, bos, voice_.talker_.codec_embed(cx, c.codec_pad));
    ops::add_(cx, first, voice_.talker_.codec_embed(cx, c.codec_start));
    for (int i = 0; i < 2; ++i, ++next_) prompt_.positions.push_back({next_, next_, next_});
    if (n) remember(c.codec_mask);
    remember(c.codec_pad);
    remember(c.codec_start);
    return voice_.talker_.forward(cx, rows, prompt_.positions, *sequence_);
  }

  // On the context's device, behind what computes it.
  static Tensor there(ops::Context& cx, const KeptRows& rows) {
    if (rows.made) cx.arena.queue().run_behind(*rows.made);
    return ops::from_host(cx, rows.values);
  }

  // A row of the reply, or what follows its last.
  Tensor of_thinker_or(ops::Context& cx, const KeptRows& row) {
    const TalkerConfig& c = voice_.talker_.config();
    if (row.values.defined()) return ops::clone(cx, there(cx, row));
    const int32_t id = std::exchange(text_ended_, true) ? c.text_pad : c.text_end;
    return ops::embedding(cx, {&id, 1}, voice_.thinker_embed_);
  }

  // A penalty counts an id once.
  void remember(int32_t code) {
    last_ = code;
    if (std::find(history_.begin(), history_.end(), code) == history_.end())
      history_.push_back(code);
  }

  const TalkerVoice& voice_;
  VoicePrompt prompt_;
  std::vector<uint32_t> allowed_;  // a bit a code
  int32_t bos_, next_ = 0;         // next_: position
  bool text_ended_ = false, ended_ = false;
  int32_t last_ = 0;              // of what was said
  std::vector<int32_t> history_;  // codec ids, those of the prompt included, each once
  std::unique_ptr<Talker::Sequence> sequence_;
};

class TalkerVoice::Wave final : public WaveStream {
 public:
  Wave(const TalkerVoice& voice, ops::Context& cx, const Speaker& speaker, FrameNoise noise,
       const FlowSettings& settings)
      : vocoder_(voice.bigvgan_),
        mel_dim_(voice.dit_.mel_dim()),
        dit_(voice.dit_, cx, speaker, std::move(noise), settings),
        n_first_codes_(voice.device_ ? dit_.codes_for(vocoder_.receptive_frames() + 1) : 0) {}

  std::vector<float> push(ops::Context& cx, std::span<const int32_t> codes) override {
    return more(cx, codes, false);
  }
  std::vector<float> finish(ops::Context& cx) override { return more(cx, {}, true); }

 private:
  // The vocoder works on all frames that touch the new ones, and on more where it prefers that:
  // older ones and, as long as more will come, silence behind them.
  std::vector<float> more(ops::Context& cx, std::span<const int32_t> codes, bool last) {
    first_codes_.insert(first_codes_.end(), codes.begin(), codes.end());
    if (!last && int64_t(first_codes_.size()) < n_first_codes_) return {};
    n_first_codes_ = 0;
    const Tensor fresh =
        dit_.push(cx, std::exchange(first_codes_, {}), last);  // [new frames, mel_dim]
    mel_.insert(mel_.end(), fresh.f32(), fresh.f32() + fresh.numel());
    const int64_t there = first_ + int64_t(mel_.size()) / mel_dim_,
                  reach = vocoder_.receptive_frames(), end = last ? there : there - reach;
    if (end <= done_) return {};
    const int64_t needed = std::max<int64_t>(first_, done_ - reach),
                  size = vocoder_.preferred_frames(there - needed),
                  from = std::max(first_, there - size), silent = last ? 0 : size - (there - from);
    mel_.resize(mel_.size() + size_t(silent * mel_dim_));
    const std::vector<float> wave =
        vocoder_.forward(cx, Tensor::view(mel_.data() + (from - first_) * mel_dim_, DType::f32,
                                          {there + silent - from, mel_dim_}));
    mel_.resize(mel_.size() - size_t(silent * mel_dim_));
    const int64_t hop = vocoder_.samples_per_frame();
    std::vector<float> out(wave.begin() + (done_ - from) * hop, wave.begin() + (end - from) * hop);
    done_ = end;
    forget(done_ - reach - kOlder);
    return out;
  }
  void forget(int64_t before) {
    if (before <= first_) return;
    mel_.erase(mel_.begin(), mel_.begin() + (before - first_) * mel_dim_);
    first_ = before;
  }

  static constexpr int64_t kOlder = 256;  // frames that are kept for a size that is preferred
  const BigVgan& vocoder_;
  int64_t mel_dim_;
  Dit::Stream dit_;
  // A device evaluates the flow of few frames in no less time than of some more: those before the
  // first sound go through it at once. They wait in first_codes_.
  int64_t n_first_codes_;
  std::vector<int32_t> first_codes_;
  std::vector<float> mel_;        // from frame first_ on
  int64_t first_ = 0, done_ = 0;  // done_: frames that were given out as samples
};

std::unique_ptr<CodeStream> TalkerVoice::new_codes(VoicePrompt prompt,
                                                   const std::string& name) const {
  return std::make_unique<Codes>(*this, std::move(prompt), speaker(name));
}

std::unique_ptr<WaveStream> TalkerVoice::new_wave(ops::Context& cx, const std::string& name,
                                                  FrameNoise noise,
                                                  const FlowSettings& settings) const {
  return std::make_unique<Wave>(*this, cx, speaker(name), std::move(noise), settings);
}

Tensor TalkerVoice::mel(ops::Context& cx, std::span<const int32_t> codes, const std::string& name,
                        const FrameNoise& noise, const FlowSettings& settings) const {
  return Dit::Stream(dit_, cx, speaker(name), noise, settings)
      .push(cx, codes, true, std::numeric_limits<int32_t>::max());
}

}  // namespace omni::qwen2_5_omni
