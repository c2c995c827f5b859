#include "transcription/whisper_decoding.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <set>

namespace omni {

namespace {

float log_sum_exp(std::span<const float> x) {
  const float highest = *std::max_element(x.begin(), x.end());
  if (highest == -INFINITY) return -INFINITY;
  float sum = 0;
  for (const float v : x) sum += std::exp(v - highest);
  return highest + std::log(sum);
}

// The last tokens are some unit again and again.
bool goes_in_circles(const std::vector<int32_t>& t) {
  for (size_t unit = 1; unit <= 12; ++unit) {
    const size_t times = unit == 1 ? 8 : unit <= 3 ? 5 : 4;
    if (t.size() < unit * times) continue;
    bool same = true;
    for (size_t i = t.size() - unit * (times - 1); i < t.size() && same; ++i)
      same = t[i] == t[i - unit];
    if (same) return true;
  }
  return false;
}

}  // namespace

double DecodedText::mean_log_probability() const {
  return log_probabilities.empty()
             ? 0
             : std::accumulate(log_probabilities.begin(), log_probabilities.end(), 0.0) /
                   double(log_probabilities.size());
}

double DecodedText::mean_log_probability_with_end() const {
  const double n = double(log_probabilities.size()) + (complete ? 1 : 0);
  return n == 0 ? 0
                : std::accumulate(log_probabilities.begin(), log_probabilities.end(),
                                  end_log_probability) /
                      n;
}

bool DecodedText::is_repetitive(int32_t first_timestamp) const {
  std::vector<int32_t> words;
  for (const int32_t id : tokens)
    if (id < first_timestamp) words.push_back(id);
  if (words.size() < 14) return false;
  std::set<std::array<int32_t, 3>> different;
  for (size_t i = 0; i + 2 < words.size(); ++i)
    different.insert({words[i], words[i + 1], words[i + 2]});
  return double(different.size()) < 0.6 * double(words.size() - 2);
}

void WhisperDecoding::apply_rules(std::span<float> logits, const DecodedText& text,
                                  const DecodingOptions& options) const {
  const WhisperTokens& t = model_.tokens();
  const auto forbid = [&](int32_t id) {
    if (id >= 0 && size_t(id) < logits.size()) logits[size_t(id)] = -INFINITY;
  };
  for (const int32_t id : t.suppressed) forbid(id);
  for (int32_t id = t.start_of_transcript; id <= t.no_timestamps; ++id) forbid(id);
  if (text.tokens.empty() && options.given.empty())
    for (const int32_t id : t.suppressed_at_begin) forbid(id);
  if (options.timestamps)
    apply_timestamp_rules(logits, text.tokens);
  else
    std::fill(logits.begin() + t.first_timestamp, logits.end(), -INFINITY);
}

// In pairs, never back, the first within the first second; and one of them wherever all together
// they are likelier than any word. (ApplyTimestampRules)
void WhisperDecoding::apply_timestamp_rules(std::span<float> logits,
                                            const std::vector<int32_t>& tokens) const {
  const WhisperTokens& t = model_.tokens();
  const auto is_time = [&](int32_t id) { return id >= t.first_timestamp; };
  const auto forbid = [&](int64_t from, int64_t to) {
    std::fill(logits.begin() + std::min<int64_t>(from, int64_t(logits.size())),
              logits.begin() + std::min<int64_t>(to, int64_t(logits.size())), -INFINITY);
  };
  const int64_t n = int64_t(logits.size());
  const bool last = !tokens.empty() && is_time(tokens.back()),
             before = tokens.size() < 2 || is_time(tokens[tokens.size() - 2]);
  if (last && before)
    forbid(t.first_timestamp, n);
  else if (last)
    forbid(0, t.end_of_text);
  const auto latest = std::find_if(tokens.rbegin(), tokens.rend(), is_time);
  if (latest != tokens.rend()) forbid(t.first_timestamp, *latest + (last && !before ? 0 : 1));
  if (tokens.empty()) {
    forbid(0, t.first_timestamp);
    forbid(t.first_timestamp + t.max_initial_timestamp + 1, n);
  }
  const float times = log_sum_exp(logits.subspan(size_t(t.first_timestamp))),
              word = *std::max_element(logits.begin(), logits.begin() + t.first_timestamp);
  if (times > word) forbid(0, t.first_timestamp);
}

DecodedText WhisperDecoding::decode(const EncodedAudio& audio, const DecodingOptions& options) {
  const WhisperTokens& t = model_.tokens();
  std::vector<int32_t> prompt;
  if (!options.previous.empty()) {
    prompt.push_back(t.start_of_previous);
    const size_t most = size_t(model_.max_tokens() / 2 - 1),
                 n = std::min(options.previous.size(), most);
    prompt.insert(prompt.end(), options.previous.end() - std::ptrdiff_t(n), options.previous.end());
  }
  const size_t at_start = prompt.size();
  prompt.push_back(t.start_of_transcript);
  if (options.language >= 0) prompt.push_back(options.language);
  if (options.task >= 0) prompt.push_back(options.task);
  if (!options.timestamps) prompt.push_back(t.no_timestamps);

  DecodedText text;
  const auto sequence = model_.new_sequence();
  const size_t heads = size_t(model_.n_alignment_heads()), row = heads * size_t(audio.n_states);
  Attention attention;
  std::vector<float> logits, room;
  const auto run = [&](std::span<const int32_t> ids) {
    if (cancelled_) throw Error(ErrorCode::cancelled, "cancelled");
    Arena::Scope scope(arena_);
    ops::Context cx{pool_, arena_};
    const Tensor y = model_.decode(cx, ids, audio, *sequence, &attention);
    const auto values = ops::to_host(cx, y, room);
    logits.assign(values.begin(), values.end());
    require_finite(logits);
  };
  // Up to the start of the transcript: there the model is asked whether anybody speaks.
  run({prompt.data(), at_start + 1});
  text.no_speech = std::exp(logits[size_t(t.no_speech)] - log_sum_exp(logits));
  std::vector<int32_t> rest(prompt.begin() + std::ptrdiff_t(at_start) + 1, prompt.end());
  if (!rest.empty()) run(rest);
  if (!options.given.empty()) {
    // The row of a token is the one on the way to it: that of the token before.
    text.attention.insert(text.attention.end(), attention.end() - std::ptrdiff_t(row),
                          attention.end());
    run(options.given);
    text.attention.insert(text.attention.end(), attention.begin(),
                          attention.end() - std::ptrdiff_t(row));
    text.n_given = int64_t(options.given.size());
  }
  const int64_t most = std::min<int64_t>(model_.max_tokens() / 2,
                                         model_.max_tokens() - sequence->state.length() - 1);
  while (int64_t(text.tokens.size()) < most) {
    apply_rules(logits, text, options);
    const float whole = log_sum_exp(logits);
    std::vector<float> copy = options.temperature > 0 ? logits : std::vector<float>();
    const int32_t id =
        options.temperature > 0
            ? sampler_.pick(copy, {}, {.temperature = options.temperature})
            : int32_t(std::max_element(logits.begin(), logits.end()) - logits.begin());
    if (id == t.end_of_text) {
      text.complete = true;
      text.end_log_probability = logits[size_t(id)] - whole;
      break;
    }
    const std::span<const float> looked = std::span(attention).last(row);
    if (options.keep_going && !options.keep_going(id, looked)) break;
    text.tokens.push_back(id);
    text.log_probabilities.push_back(logits[size_t(id)] - whole);
    text.attention.insert(text.attention.end(), looked.begin(), looked.end());
    if (goes_in_circles(text.tokens)) {
      text.loop = true;
      break;
    }
    run({&id, 1});
  }
  return text;
}

std::pair<std::string, int32_t> WhisperDecoding::detect_language(const EncodedAudio& audio) {
  const WhisperTokens& t = model_.tokens();
  if (t.languages.empty()) return {};
  const auto sequence = model_.new_sequence();
  Arena::Scope scope(arena_);
  ops::Context cx{pool_, arena_};
  std::vector<float> room;
  const auto logits = ops::to_host(
      cx, model_.decode(cx, {&t.start_of_transcript, 1}, audio, *sequence, nullptr), room);
  const auto best =
      std::max_element(t.languages.begin(), t.languages.end(), [&](const auto& a, const auto& b) {
        return logits[size_t(a.second)] < logits[size_t(b.second)];
      });
  return {best->first, best->second};
}

}  // namespace omni
