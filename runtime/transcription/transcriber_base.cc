#include "transcription/transcriber_base.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "audio/device_log_mel.h"
#include "text/segmentation.h"

namespace omni {

namespace {

constexpr size_t kMostVocabulary = 100;  // tokens

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

TranscriberBase::TranscriberBase(std::shared_ptr<const void> engine, const Recogniser& model,
                                 ThreadPool& pool, const TranscriptionOptions& options)
    : engine_(std::move(engine)),
      model_(model),
      pool_(pool),
      options_(options),
      masked_(options.masked_words),
      arena_(model.device()),
      mel_(make_log_mel(arena_, model.n_mels())),
      decoder_(model, pool, arena_, cancelled_) {
  if (options_.voice_gate) gate_.emplace();
  TranscriberBase::set_language(options_.language);
  if (options_.step <= 0)
    throw Error(ErrorCode::invalid_argument,
                "a step of " + std::to_string(options_.step) + " ns between two looks");
  if (options_.translate && model_.tokens().translate < 0)
    throw Error(ErrorCode::invalid_argument, "this checkpoint does not translate");
  std::string words;
  for (const std::string& w : options_.vocabulary) words += (words.empty() ? " " : ", ") + w;
  if (!words.empty()) vocabulary_ = model_.tokenizer().encode_text(words + ".");
  if (vocabulary_.size() > kMostVocabulary)
    throw Error(ErrorCode::invalid_argument,
                "a vocabulary of " + std::to_string(vocabulary_.size()) + " tokens; at most " +
                    std::to_string(kMostVocabulary) + " fit ahead of the sound");
}

void TranscriberBase::reset() {
  cancelled_ = false;
  start(0);
  language_believed_ = false;
  if (options_.language.empty()) set_language("");
}

void TranscriberBase::set_language(const std::string& language) {
  if (!language.empty() && !model_.tokens().languages.empty()) {
    std::string l = language.substr(0, language.find_first_of("-_"));  // "en-US" is English
    std::transform(l.begin(), l.end(), l.begin(),
                   [](unsigned char c) { return char(std::tolower(c)); });
    const auto there = model_.tokens().languages.find(l);
    if (there == model_.tokens().languages.end()) {
      std::string known;
      for (const auto& [name, id] : model_.tokens().languages)
        known += (known.empty() ? "" : ", ") + name;
      throw Error(ErrorCode::invalid_argument,
                  "no language \"" + language + "\"; the checkpoint has " + known);
    }
    language_ = l, language_id_ = there->second;
  } else {
    language_ = model_.tokens().languages.empty() ? "en" : "";
    language_id_ = -1;
  }
  options_.language = language;
}

void TranscriberBase::throw_if_cancelled() const {
  if (cancelled_) throw Error(ErrorCode::cancelled, "cancelled");
}

void TranscriberBase::require_numbers(std::span<const float> samples) {
  for (const float x : samples)
    if (!std::isfinite(x))
      throw Error(ErrorCode::corrupt_file, "sound with samples that are not numbers");
}

std::vector<int32_t> TranscriberBase::initial_prompt() const {
  if (options_.initial_prompt.empty()) return {};
  return model_.tokenizer().encode_text(" " + options_.initial_prompt);
}

EncodedAudio TranscriberBase::encode(std::span<float> mel, int64_t n_frames) {
  Arena::Scope scope(arena_);
  ops::Context cx{pool_, arena_};
  const double begin = now();
  EncodedAudio audio =
      model_.encode(cx, Tensor::view(mel.data(), DType::f32, {n_frames, model_.n_mels()}));
  stats_.encoder_seconds += now() - begin;
  return audio;
}

DecodedText TranscriberBase::decode(const EncodedAudio& audio, const DecodingOptions& o) {
  const double begin = now();
  DecodedText text = decoder_.decode(audio, o);
  stats_.decoder_seconds += now() - begin;
  stats_.tokens += int64_t(text.tokens.size());
  return text;
}

DecodingOptions TranscriberBase::decoding_options(const std::vector<int32_t>& previous) const {
  DecodingOptions o;
  o.previous = vocabulary_;
  o.previous.insert(o.previous.end(), previous.begin(), previous.end());
  o.language = language_id_;
  o.task = options_.translate ? model_.tokens().translate : model_.tokens().transcribe;
  return o;
}

void TranscriberBase::find_language(const EncodedAudio& audio) {
  if (language_id_ >= 0 || model_.tokens().languages.empty()) return;
  std::tie(language_, language_id_) = decoder_.detect_language(audio);
}

void TranscriberBase::reject() {
  ++stats_.rejected;
  if (options_.language.empty() && !language_believed_) set_language("");
}

std::vector<TokenWord> TranscriberBase::words_of_tokens(std::span<const int32_t> tokens) const {
  std::vector<std::string> bytes;
  for (const int32_t t : tokens) bytes.push_back(model_.tokenizer().token_bytes(t));
  return words_of(bytes);
}

Word TranscriberBase::word_of(const TokenWord& piece,
                              std::span<const float> log_probabilities) const {
  Word word;
  word.text = piece.text;
  word.space_ahead = piece.text.starts_with(' ');
  word.text.erase(0, word.text.find_first_not_of(' '));
  word.text = masked_.apply(word.text);
  double log_probability = 0;
  for (const float p : log_probabilities) log_probability += p;
  word.probability = std::exp(log_probability / double(log_probabilities.size()));
  word.ends_sentence = ends_sentence(word.text);
  return word;
}

}  // namespace omni
