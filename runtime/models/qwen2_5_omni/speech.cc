#include "qwen2_5_omni/speech.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "io/tensor_pickle.h"

namespace omni::qwen2_5_omni {

namespace {

std::map<std::string, Voice> read_voices(const std::filesystem::path& path, const DitConfig& c) {
  const PickledValue all = read_tensor_pickle(path);
  std::map<std::string, Voice> out;
  for (const auto& [name, v] : all.members) {
    const auto fail = [&](const std::string& what) { throw Error(ErrorCode::corrupt_file, path.string() + ": voice " + name + " " + what); };
    const auto member = [&](const char* key, PickledValue::Kind kind) -> const PickledValue& {
      const auto there = v.members.find(key);
      if (there == v.members.end() || there->second.kind != kind) fail(std::string("has no usable ") + key);
      return there->second;
    };
    Voice voice{int32_t(member("bos_token", PickledValue::integer).number), member("cond", PickledValue::tensor).values, member("ref_mel", PickledValue::tensor).values};
    if (voice.cond.numel() != c.enc_emb_dim) fail("has a cond of " + voice.cond.shape().str() + ", config.json asks for " + std::to_string(c.enc_emb_dim));
    if (voice.ref_mel.numel() == 0 || voice.ref_mel.numel() % c.mel_dim) fail("has a ref_mel of " + voice.ref_mel.shape().str());
    voice.ref_mel = voice.ref_mel.reshape({voice.ref_mel.numel() / c.mel_dim, c.mel_dim});
    if (voice.ref_mel.dim(0) < 16) fail("has too short a ref_mel");
    out.emplace(name, std::move(voice));
  }
  if (out.empty()) throw Error(ErrorCode::corrupt_file, path.string() + " has no voices");
  return out;
}

LoadProgress half(const LoadProgress& whole, double from, double to) {
  return {[&whole, from, to](double f) { whole(from + (to - from) * f); }};
}

}  // namespace

Speech::Speech(const ModelOptions& o, const Weights& file, const SpeechConfig& c, const LoadProgress& progress)
    : voices_(read_voices(o.folder / "spk_dict.pt", c.dit)), thinker_embed_(file.get("thinker.model.embed_tokens.weight")),
      talker_(file.scope("talker"), c.talker, o.precision, half(progress, 0, 0.5)), dit_(file.scope("token2wav.code2wav_dit_model"), c.dit, half(progress, 0.5, 0.9)),
      bigvgan_(file.scope("token2wav.code2wav_bigvgan_model"), c.bigvgan) {
  if (thinker_embed_.rank() != 2 || thinker_embed_.dim(1) != c.talker.text.embedding_size)
    throw Error(ErrorCode::corrupt_file, o.folder.string() + ": the Talker's embedding_size is not the Thinker's hidden_size");
}

std::vector<std::string> Speech::voices() const {
  std::vector<std::string> names;
  for (const auto& [name, voice] : voices_) names.push_back(name);
  return names;
}

const Voice& Speech::voice(const std::string& name) const {
  const auto there = voices_.find(name);
  if (there != voices_.end()) return there->second;
  std::string known;
  for (const auto& [n, v] : voices_) known += (known.empty() ? "" : ", ") + n;
  throw Error(ErrorCode::invalid_argument, "no voice \"" + name + "\"; the checkpoint has " + known);
}

std::vector<int32_t> Speech::codes(ops::Context& cx, const SpokenText& text, const std::string& voice_name, const CodecSampling& sampling) const {
  const TalkerConfig& c = talker_.config();
  const int64_t width = c.text.embedding_size, n_prompt = int64_t(text.prompt_positions.size()), n_reply = text.reply.empty() ? 0 : int64_t(text.reply.size()) / width;
  if (n_reply == 0) return {};
  Arena::Scope scope(cx.arena);
  const auto add_row = [&](float* out, const Tensor& row) {
    for (int64_t k = 0; k < width; ++k) out[k] += row.f32()[k];
  };
  const auto of_thinker = [&](int32_t id) { return ops::embedding(cx, {&id, 1}, thinker_embed_); };

  // prompt · voice's bos + codec pad · first row of the reply + codec start
  Tensor rows = cx.arena.f32({n_prompt + 2, width});
  std::memcpy(rows.raw(), text.prompt.data(), size_t(n_prompt * width) * 4);
  float *bos = rows.f32() + n_prompt * width, *first = bos + width;
  std::memcpy(bos, of_thinker(voice(voice_name).bos_token).f32(), size_t(width) * 4);
  add_row(bos, talker_.codec_embed(cx, c.codec_pad));
  std::memcpy(first, text.reply.data(), size_t(width) * 4);
  add_row(first, talker_.codec_embed(cx, c.codec_start));
  std::vector<Position> positions = text.prompt_positions;
  int32_t next = 0;
  for (const Position& p : positions) next = std::max(next, 1 + *std::max_element(p.begin(), p.end()));
  for (int i = 0; i < 2; ++i, ++next) positions.push_back({next, next, next});

  // What the repetition penalty looks at.
  std::vector<int32_t> history(size_t(n_prompt), c.codec_mask);
  history.push_back(c.codec_pad);
  history.push_back(c.codec_start);
  KvCache cache = talker_.new_cache();
  std::vector<int32_t> out;
  Tensor step = cx.arena.f32({1, width});
  for (int k = 0; k < sampling.max_codes; ++k) {
    Arena::Scope inner(cx.arena);
    Tensor logits = k == 0 ? talker_.forward(cx, rows, positions, cache) : talker_.forward(cx, step, {{{next, next, next}}}, cache);
    if (k > 0) ++next;
    std::span<float> l(logits.f32(), size_t(logits.numel()));
    if (size_t(c.codec_start) < l.size()) l[size_t(c.codec_start)] = -INFINITY;
    const int32_t code = sampling.pick(l, history);
    if (code == c.codec_pad || code == c.codec_end) break;
    out.push_back(code);
    history.push_back(code);
    const int64_t row = k + 1;
    const Tensor embedded = talker_.codec_embed(cx, code);
    std::memcpy(step.raw(), embedded.raw(), size_t(width) * 4);
    if (row < n_reply) {
      for (int64_t i = 0; i < width; ++i) step.f32()[i] += text.reply[size_t(row * width + i)];
    } else {
      add_row(step.f32(), of_thinker(row == n_reply ? c.text_end : c.text_pad));
    }
  }
  return out;
}

Tensor Speech::mel(ops::Context& cx, std::span<const int32_t> codes, const std::string& voice_name, const Tensor& noise, int points, float guidance) const {
  return dit_.sample(cx, codes, voice(voice_name), noise, {points, guidance, -1});
}

}  // namespace omni::qwen2_5_omni
